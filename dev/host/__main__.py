from .. import call

call(
    __package__,
    "The host: a ComfyUI of one known version, set up, started, talked to.",
    {
        "setup": ("setup", "make .venv and fetch ComfyUI, once; a second run only compares stamps"),
        "test": ("test", "pytest on the ComfyUI that RACKFOCUS_COMFYUI names"),
        "serve": ("serve", "leave the host running, to try the nodes in a browser"),
        "browser": ("browser", "the browser of the tests: find one, or install one"),
        "frontend": ("frontend", "fetch another front end than the host's own: the newest, or a version"),
        "schema": (
            "schema",
            "write what follows from the schema: tests/data/schema.json, locales/, the tables of web/docs",
        ),
        "rules": ("node_rules", "say what the registry's scanner could not read in nodes/"),
    },
)
