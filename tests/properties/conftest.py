"""How hypothesis tries: quickly here, harder under CI, as long as you like by DISCOVERYD_FUZZ_EXAMPLES."""

import os

from hypothesis import HealthCheck, settings

CI = os.environ.get("CI") == "true"
LEAST = 200 if CI else 60
"""Examples of a property that plays many steps in each; a longer run plays a tenth of what it asks for."""

settings.register_profile(
    "discoveryd",
    max_examples=max(LEAST, int(os.environ.get("DISCOVERYD_FUZZ_EXAMPLES") or 0) // 10),
    stateful_step_count=60,
    deadline=None,  # this machine may be busy
    derandomize=CI,
    database=None,  # a failure prints its blob instead; put what it found into tests/fuzz/corpus
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("discoveryd")
