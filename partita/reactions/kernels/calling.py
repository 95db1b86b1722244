"""Calls of functions by the kernels that run from tables.

What Numba does by itself is right, and slow: to compile, where machine code is copied to each of many calls;
to run, where arrays that are handed over are counted.
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# Functions for kernels alone, which take half as long to compile: those that are called, those whose machine
# code becomes part of the caller's, and those of one caller, whose source does.
inner = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
inlined = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)
merged = njit(inline="always")


@intrinsic
def borrowed(context, arguments):
    """Return the same tuples of arrays, with references that are not counted.

    Counting would cost more than an event. It is for the arguments of a function that is called in a loop, so
    that its caller keeps them alive. What they are handed to should be `inlined`.
    """

    def build(context, builder, signature, values):
        return _uncounted(context, builder, signature.args[0], values[0])

    return arguments(arguments), build


def _uncounted(context, builder, kind, value):
    if isinstance(kind, types.Array):
        place = context.data_model_manager[kind].get_field_position("meminfo")  # null: nothing to count
        return builder.insert_value(value, ir.Constant(value.type.elements[place], None), place)
    if isinstance(kind, types.BaseTuple):
        for place, inside in enumerate(kind):
            part = _uncounted(context, builder, inside, builder.extract_value(value, place))
            value = builder.insert_value(value, part, place)
    return value


@intrinsic
def apart(context, function, arguments):
    """Call a function with a tuple of arguments; its machine code is not copied to the call.

    It is for what is large and called in many places, where copies take the compiler seconds.
    """
    types_of_it = function.get_call_type(context, arguments.types, {})

    def build(context, builder, signature, values):
        call = context.get_function(function, types_of_it)
        known = {id(instruction) for instruction in _calls(builder)}
        result = call(builder, [builder.extract_value(values[1], i) for i in range(len(arguments))])
        for instruction in _calls(builder):
            if id(instruction) not in known:
                instruction.attributes.add("noinline")
        return result

    return types_of_it.return_type(function, arguments), build


def _calls(builder):
    for block in builder.function.blocks:
        for instruction in block.instructions:
            if isinstance(instruction, ir.CallInstr):
                yield instruction
