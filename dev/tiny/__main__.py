from .. import call

call(
    __package__,
    "Tiny models with random weights, for tests and benchmarks.",
    {"depth": ("depth", "save a depth model as an artist would have it on disk, to try Refocus Depth with")},
)
