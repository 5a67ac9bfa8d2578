"""The shipped workflows: written as Python, saved in the page's form, turned into prompts."""
