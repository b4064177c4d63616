"""An evaluation loads every weight of its model, or none."""

from mmengine.logging import print_log
from mmengine.runner import Runner


def load_whole_checkpoint(runner: Runner, path: str) -> None:
    """Load the weights to evaluate; what only a training needs may be missing.

    mmengine's own loading gives the same warning whatever does not fit, and evaluates what is left
    at random.

    Args:
        runner: Built, with nothing loaded.
        path: The checkpoint.

    Raises:
        ValueError: If a weight of the model is not in the file, or is of another shape there.
    """
    try:
        runner.load_checkpoint(path, strict=True)
    except RuntimeError as error:
        wrong = []
        for line in str(error).splitlines()[1:]:
            what, _, keys = line.partition(' in source state_dict: ')
            if what == 'unexpected key':
                print_log(f'{path}: not in the model, left out: {keys}', 'current')
            elif what == 'missing keys':
                missing = [key for key in keys.split(', ') if not key.startswith('auxiliary_head.')]
                if missing:
                    more = f' and {len(missing) - 3} more' if len(missing) > 3 else ''
                    wrong.append(f'it lacks {", ".join(missing[:3])}{more}')
            elif line:
                wrong.append(line)
        if wrong:
            raise ValueError(
                f'{path} is no checkpoint of this model, and its weights would be evaluated at '
                f'random: {"; ".join(wrong[:3])}.'
            ) from error
        runner._has_loaded = True
