from .. import call

call(
    __package__,
    "The shipped workflows: written as Python, saved in the page's form, turned into prompts.",
    {"write": ("write", "write workflows/*.json, their thumbnails and subgraphs/*.json, by a running host")},
)
