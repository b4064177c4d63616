import pytest
from make_shapes import main
from PIL import Image


@pytest.fixture(autouse=True)
def called(monkeypatch):
    monkeypatch.setattr('sys.argv', ['tools/make_shapes.py'])


def test_the_dataset_that_was_asked_for(tmp_path, capsys):
    root = tmp_path / 'shapes'
    options = ['--root', str(root), '--num-train', '3', '--num-val', '2', '--size', '33', '49']
    main(options)
    assert capsys.readouterr().out.endswith(f'Shapes: 3 + 2 images in {root}\n')
    sizes = [Image.open(path).size for path in root.glob('JPEGImages/*.jpg')]
    assert sizes == [(49, 33)] * 5
    with pytest.raises(SystemExit, match='^make_shapes.py: .* was made with .*--overwrite'):
        main([*options, '--seed', '1'])
    main([*options, '--seed', '1', '--overwrite'])


def test_a_problem_ends_with_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match='^make_shapes.py: num_train and num_val must be at least'):
        main(['--root', str(tmp_path / 'shapes'), '--num-val', '0'])
