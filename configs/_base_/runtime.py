"""What every run shares."""

custom_imports = dict(imports=['mmseg_deeplabv3x'])
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)
# plain BN in the models; the runner converts it where it runs on several GPUs
sync_bn = 'torch'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='SafeCheckpointHook',
        by_epoch=False,
        interval=2000,
        max_keep_ckpts=2,
        save_best='mIoU',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
custom_hooks = [
    dict(type='ExactResumeHook'),
    dict(type='FiniteStepHook'),
    dict(type='StopSignalHook'),
    dict(type='ThroughputHook'),
]
visualizer = dict(
    type='LegendVisualizer', vis_backends=[dict(type='SafeLocalVisBackend')], name='visualizer'
)
tta_model = dict(type='RunningMeanTTAModel')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
