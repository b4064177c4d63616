"""The paper's first stage: batch 16, lr 0.007, poly with power 0.9, 30K iterations (section 4.1).

``max_iters`` alone sets the length: the schedule's end follows it.
"""

train_cfg = dict(type='IterBasedTrainLoop', max_iters=30000, val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    # momentum, weight decay and the doubled rate of biases are those of the released code
    optimizer=dict(type='SGD', lr=0.007, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(bias_lr_mult=2.0),
)
param_scheduler = [dict(type='DeepLabPolyLR', power=0.9, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)  # of lr; for --auto-scale-lr
