import pytest
import torch

from mmseg_deeplabv3x.weights import convert, describe, fit, unwrap


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def backbone_of(state):
    return {
        key.removeprefix('backbone.'): value
        for key, value in state.items()
        if key.startswith('backbone.')
    }


@pytest.fixture
def state(deeplab):
    return dict(deeplab().state_dict())


def test_own_state_dict_fits_whole(deeplab, state):
    report = fit(state, deeplab().state_dict())
    assert equal(report.tensors, state)
    assert (report.dropped, report.missing) == ({}, ())
    counted = sum('num_batches' not in key for key in state)
    assert f'{counted} of {counted} tensors' in str(report)


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'encoder.', 'encoder_q.', 'backbone.body.'])
def test_backbone_is_found_behind_any_prefix(state, prefix, build):
    bare = backbone_of(state)
    own = build(type='AtrousResNet', depth=18).state_dict()
    report = fit({prefix + key: value for key, value in bare.items()}, own)
    assert equal(report.tensors, bare)
    assert not report.dropped


def test_teacher_of_dino(state, build):
    bare = backbone_of(state)
    teacher = {f'module.backbone.{key}': value for key, value in bare.items()}
    teacher['module.head.mlp.0.weight'] = torch.ones(2, 2)
    report = fit(unwrap({'student': {}, 'teacher': teacher}),
                 build(type='AtrousResNet', depth=18).state_dict())  # fmt: skip
    assert equal(report.tensors, bare)
    assert report.dropped == {'head.mlp.0.weight': 'head of another task'}


def test_second_encoder_of_moco_is_not_mistaken_for_the_first(state, build):
    bare = backbone_of(state)
    both = {f'encoder_q.{key}': value for key, value in bare.items()}
    both |= {f'encoder_k.{key}': value + 1 for key, value in bare.items()} | {
        'queue': torch.ones(2)
    }
    report = fit(both, build(type='AtrousResNet', depth=18).state_dict())
    assert equal(report.tensors, bare)
    assert set(report.dropped) == {*(f'encoder_k.{key}' for key in bare), 'queue'}


def test_backbone_alone_goes_into_a_segmentor_and_the_rest_is_named(state, deeplab):
    bare = backbone_of(state) | {'fc.weight': torch.ones(2, 2), 'fc.bias': torch.ones(2)}
    report = fit(bare, deeplab().state_dict())
    assert equal(backbone_of(report.tensors), backbone_of(state))
    assert all(key.startswith('decode_head.') for key in report.missing)
    assert report.dropped == dict.fromkeys(('fc.weight', 'fc.bias'), 'classifier of images')
    text = str(report)
    assert 'not in the file: decode_head.conv_seg' in text
    assert 'classifier of images: fc (2 tensors)' in text


def test_segmentor_gives_its_backbone_and_the_head_is_named(state, build):
    report = fit(state, build(type='AtrousResNet', depth=18).state_dict())
    assert equal(report.tensors, backbone_of(state))
    heads = {key for key in state if key.startswith('decode_head.')}
    assert report.dropped == dict.fromkeys(heads, 'not in the model')


def test_count_of_batches_may_be_missing(state, deeplab):
    old = {key: value for key, value in state.items() if 'num_batches' not in key}
    report = fit(old, deeplab().state_dict())
    assert (report.missing, len(report.tensors)) == ((), report.total)


def test_resnet18_under_resnet50_is_refused_and_says_what_it_is(state, build):
    with pytest.raises(
        ValueError,
        match=r'layer1\.0\.conv1\.weight is \(64, 64, 3, 3\) in the file and \(64, 64, 1, 1\) in '
        r'the model.*depth=18',
    ):
        fit(backbone_of(state), build(type='AtrousResNet', depth=50).state_dict())


def test_plain_stem_under_a_deep_one_is_refused(state, build):
    own = build(type='AtrousResNet', depth=18, deep_stem=True).state_dict()
    with pytest.raises(ValueError, match=r'lacks a part of the backbone: stem\.0.*depth=18'):
        fit(backbone_of(state), own)


def test_file_of_which_nothing_fits_is_refused(deeplab):
    with pytest.raises(ValueError, match='lacks a part of the backbone'):
        fit({'conv1.bias': torch.ones(1)}, deeplab().state_dict())


@pytest.mark.parametrize('alike', [{}, {'bn1.bias': torch.ones(32)}, {'bn1.bias': torch.ones(64)}])
def test_an_unknown_network_is_not_taken_for_the_source_that_is_the_least_unlike(alike, build):
    state = {f'blocks.{unit}.conv_dw.weight': torch.ones(3) for unit in range(3)} | alike
    with pytest.raises(ValueError) as refused:
        fit(state, build(type='AtrousResNet', depth=18).state_dict())
    said = str(refused.value)
    assert 'of no network that is known: it has blocks.0.conv_dw, ' in said
    assert 'the model needs conv1, bn1, ' in said and 'ResNet' not in said


def test_a_network_under_many_strange_tensors_is_still_told(state, build):
    strange = {f'strange.{i}.weight': torch.ones(1) for i in range(1000)}
    with pytest.raises(ValueError, match=r'in the model\. It is of .*depth=18'):
        fit(backbone_of(state) | strange, build(type='AtrousResNet', depth=50).state_dict())


def test_heads_without_a_backbone_are_refused(state, deeplab):
    heads = {key: value for key, value in state.items() if key.startswith('decode_head.')}
    with pytest.raises(ValueError, match='lacks a part of the backbone'):
        fit(heads, deeplab().state_dict())


def test_other_number_of_classes(state, deeplab):
    own = deeplab(num_classes=5).state_dict()
    with pytest.raises(ValueError, match=r'has 3 classes in decode_head\.conv_seg\.weight, .* 5'):
        fit(state, own)
    report = fit(state, own, new_classifier=True)
    classifier = {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    assert set(report.missing) == set(report.dropped) == classifier
    assert equal(report.tensors, {key: state[key] for key in state if key not in classifier})


def test_a_classifier_of_as_many_classes_on_other_channels_is_named_by_its_shape(state, deeplab):
    wide = dict(state)
    key = 'decode_head.conv_seg.weight'
    wide[key] = wide[key].repeat(1, 2, 1, 1)
    with pytest.raises(ValueError, match=r'conv_seg\.weight is \(3, 32, 1, 1\) in the file and'):
        fit(wide, deeplab().state_dict())


def test_other_shape_of_the_head_is_refused(state, build, deeplab):
    with pytest.raises(
        ValueError, match=r'bottleneck\.conv\.weight is \(16, 80, 1, 1\) in the file'
    ):
        fit(state, deeplab(projection_kernel=3).state_dict())


def test_any_network_under_its_own_keys():
    own = {'blocks.0.conv.weight': torch.ones(2, 3), 'blocks_1.conv.weight': torch.ones(2)}
    state = {'blocks.0.conv.weight': torch.zeros(2, 3), 'blocks.1.conv.weight': torch.zeros(2)}
    report = fit(state | {'head.weight': torch.ones(1)}, own)
    assert equal(report.tensors, {key: torch.zeros_like(value) for key, value in own.items()})
    assert report.dropped == {'head.weight': 'not in the model'}


def test_network_of_timm_in_mmsegs_wrapper():
    own = {'timm_model.conv_stem.weight': torch.ones(2, 3), 'timm_model.bn1.bias': torch.ones(2)}
    plain = {key.removeprefix('timm_model.'): torch.zeros_like(own[key]) for key in own}
    for state in (plain, {key: torch.zeros_like(own[key]) for key in own}):
        report = fit(state, own)
        assert equal(report.tensors, {key: torch.zeros_like(own[key]) for key in own})
    segmentor = {f'backbone.{key}': value for key, value in own.items()}
    segmentor['decode_head.conv_seg.bias'] = torch.ones(1)
    assert fit(plain, segmentor).missing == ('decode_head.conv_seg.bias',)
    assert not fit(segmentor, segmentor).missing


def test_two_networks_in_one_file_are_refused(state):
    bare = backbone_of(state)
    with pytest.raises(ValueError, match=r'conv1\.weight and body\.conv1\.weight are both'):
        convert(bare | {f'body.{key}': value for key, value in bare.items()})


def test_unknown_network_is_refused_by_convert_with_the_sources():
    with pytest.raises(ValueError, match=r'recognised in the keys vit\.qkv \(1 tensor\).*timm'):
        convert({'vit.qkv.weight': torch.ones(2)})


@pytest.mark.parametrize(
    'config',
    [
        dict(depth=18),
        dict(depth=34),
        dict(depth=50),
        dict(depth=50, deep_stem=True),
        dict(depth=101),
        dict(depth=152, deep_stem=True),
    ],
    ids=str,
)
def test_description_is_the_config(config, build):
    report = convert(build(type='AtrousResNet', **config).state_dict())
    arguments = ', '.join(f'{key}={value}' for key, value in config.items())
    assert describe(report) == f'AtrousResNet({arguments})'


def test_no_description_of_another_network():
    report = convert({'backbone.conv_stem.weight': torch.ones(1)})
    assert describe(report) is None


def test_command_of_the_document_for_any_cnn_of_timm(documented):
    timm = pytest.importorskip('timm', reason='needs timm')
    model = documented('timm, any other CNN').eval()
    report = fit(timm.create_model('regnetx_002').state_dict(), model.state_dict())
    assert {key.split('.')[0] for key in report.dropped} == {'head'}
    assert {key.split('.')[0] for key in report.missing} == {'decode_head'}
    model.encode_decode(torch.zeros(1, 3, 65, 65), [dict(img_shape=(65, 65))])
