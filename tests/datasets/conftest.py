import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def mmseg_scope():
    """Names in pipelines mean mmseg's, as under a runner."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield
