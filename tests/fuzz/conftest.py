"""How any input at all is tried: the same in every run, however slow and on whatever fixture."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    'fuzz',
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
