"""A config as text, parsed as data: nothing in it is executed."""

import ast

from mmengine.config import Config

_NUMBERS = {'inf': float('inf'), 'nan': float('nan')}


def parse_config(text: str) -> Config:
    """Parse the config that a checkpoint of mmengine holds (``meta['cfg']``).

    It is what ``Config.pretty_text`` writes: assignments of numbers, strings, lists, tuples and
    dicts. ``Config.fromstring`` would run it as a program, and a checkpoint may come from anywhere.
    What ``custom_imports`` names is not imported either.

    Args:
        text: Python source.

    Returns:
        The config.

    Raises:
        ValueError: If it holds anything but data.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f'The config in the checkpoint cannot be parsed: {error}.') from error
    settings = {}
    for statement in statements:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise _refused(statement)
        settings[statement.targets[0].id] = _value(statement.value)
    return Config(settings)


def _value(node: ast.expr):
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id=('inf' | 'nan') as name):
            return _NUMBERS[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id='inf')):
            return -_NUMBERS['inf']
        case ast.List():
            return [_value(item) for item in node.elts]
        case ast.Tuple():
            return tuple(_value(item) for item in node.elts)
        case ast.Dict() if None not in node.keys:
            return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
        case ast.Call(func=ast.Name(id='dict'), args=args) if all(k.arg for k in node.keywords):
            items = dict(_value(args[0])) if len(args) == 1 else {}
            return {**items, **{keyword.arg: _value(keyword.value) for keyword in node.keywords}}
    raise _refused(node)


def _refused(node: ast.AST) -> ValueError:
    return ValueError(
        f'The config in the checkpoint holds {ast.unparse(node)[:60]!r} in line {node.lineno}, '
        'which is not plain data: give the config file.'
    )
