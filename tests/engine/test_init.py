import inspect

from mmengine.registry import Registry
from mmseg import registry

from mmseg_deeplabv3x import engine


def test_whatever_the_room_registers_can_be_imported_from_it():
    modules = {
        module
        for kind in vars(registry).values()
        if isinstance(kind, Registry)
        for module in kind.module_dict.values()
        if inspect.isclass(module) and module.__module__.startswith(engine.__name__)
    }
    assert len(modules) > 10
    assert [m.__name__ for m in modules if getattr(engine, m.__name__, None) is not m] == []
