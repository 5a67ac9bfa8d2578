from .. import call

if __name__ == "__main__":  # a process that `stack` spawns imports this file again
    call(
        __package__,
        "Figures: each command prints ratios to a baseline that ran beside it, in the same run.",
        {
            "optical": ("optical", "dB on path-traced photographs, and time beside disc scatter"),
            "genfocus": ("genfocus", "time of a step beside a plain FLUX pass, on random weights"),
            "diffcamera": ("diffcamera", "time of a step with conditions kept and computed, on random weights"),
            "learn2refocus": ("learn2refocus", "time of a step beside the plain host sampler, memory of decoding"),
            "stack": ("stack", "memory and time of focus stacking"),
            "large": ("large", "memory and time of the lens blur on a large picture"),
            "all": ("all", "optical, genfocus, diffcamera and learn2refocus, one after the other"),
            "learning": ("learning", "what the small model learns, with and without parts of the method"),
            "gaps": ("gaps", "seconds between two looks at Cancel, node by node"),
            "fuzz": ("fuzz", "odd inputs to every node, function and file; what fails, and how to repeat it"),
            "mutate": ("mutate", "plant faults in a file and say which ones no test notices"),
        },
    )
