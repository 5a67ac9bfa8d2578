"""Single faults in a source text: those of cosmic-ray that people make, and those that this field makes."""

import cosmic_ray.plugins
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

CORE = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "Mod_FloorDiv", "Pow_Mul", "BitOr_BitAnd",
        "BitAnd_BitOr",
    )),
    *(f"ReplaceComparisonOperator_{pair}" for pair in (
        "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_Gt", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_Lt", "GtE_Gt", "GtE_Lt",
        "Is_IsNot", "IsNot_Is",
    )),
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "NumberReplacer",
    "ZeroIterationForLoop",
)  # fmt: skip
# Words that are taken for one another; each also the other way round.
PAIRS = (
    "h w", "height width", "x y", "cx cy", "dx dy", "rows columns", "left right", "top bottom", "near far",
    "first last", "front behind", "min max", "amin amax", "maximum minimum", "sin cos", "floor ceil", "low high",
    "start end", "decode_srgb encode_srgb", "ge gt", "le lt", "flipud fliplr",
)  # fmt: skip
SWAPS = {a: b for pair in PAIRS for a, b in (pair.split(), pair.split()[::-1])}
DROPPED = {
    "clamp",
    "clamp_",
    "clip",
    "abs",
    "flip",
    "round",
    "neg",
    "exp",
    "sqrt",
    "square",
    "flatten",
    "T",
    "mT",
    "conj",
}


class SwapWord(Operator):
    """One name for its partner: h for w, near for far, min for max."""

    def mutation_positions(self, node):
        if node.type == "name" and node.value in SWAPS and not node.is_definition() and not _is_keyword(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        node.value = SWAPS[node.value]
        return node

    @classmethod
    def examples(cls):
        return ()


class DropCall(Operator):
    """x.clamp(0, 1) becomes x."""

    def mutation_positions(self, node):
        for at in self._found(node):
            yield node.children[at].start_pos, node.children[at].end_pos

    def mutate(self, node, index):
        at = list(self._found(node))[index]
        called = at + 1 < len(node.children) and node.children[at + 1].get_first_leaf().value == "("
        del node.children[at : at + 2 if called else at + 1]
        return node

    @staticmethod
    def _found(node):
        if node.type in ("atom_expr", "power"):
            for at, child in enumerate(node.children):
                if child.type == "trailer" and child.children[0].value == "." and child.children[1].value in DROPPED:
                    yield at

    @classmethod
    def examples(cls):
        return ()


def _is_keyword(name) -> bool:
    """Whether a name is the `key` of key=value in a call."""
    return name.parent.type == "argument" and name.parent.children[0] is name


def faults(source: str):
    """Every faulty text, once. What does not compile is left out."""
    seen = {source}
    operators: list[Operator] = [cosmic_ray.plugins.get_operator(f"core/{name}")() for name in CORE] + [
        SwapWord(),
        DropCall(),
    ]
    for operator in operators:
        occurrence = 0
        while (after := mutate_code(source, operator, occurrence)) is not None:
            occurrence += 1
            if after not in seen:
                seen.add(after)
                try:
                    compile(after, "fault", "exec")
                except SyntaxError:
                    continue
                yield after
