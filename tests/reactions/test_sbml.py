"""SBML: what a network can say is taken over, everything else is told by its name."""

import sys
import time
from io import BytesIO

import pytest

from partita.reactions import Network, read_sbml
from partita.reactions.model.expression import evaluate, to_text

pytest.importorskip("libsbml")

MATH = 'xmlns="http://www.w3.org/1998/Math/MathML"'
L3 = 'xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"'
L2 = 'xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"'
CELL = '<compartment id="cell" spatialDimensions="3" size="1" constant="true"/>'
X = (
    '<species id="X" compartment="cell" initialAmount="10" hasOnlySubstanceUnits="true" '
    'boundaryCondition="false" constant="false"/>'
)
K = '<parameter id="k" value="2" constant="true"/>'
TIME = '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>'
KX = "<apply><times/><ci>k</ci><ci>X</ci></apply>"
MINUS = "<apply><minus/><ci>X</ci><ci>k</ci></apply>"
AFTER_5 = f"<apply><gt/>{TIME}<cn>5</cn></apply>"
SET_X = (
    f'<listOfEventAssignments><eventAssignment variable="X"><math '
    f"{MATH}><cn>1</cn></math></eventAssignment></listOfEventAssignments>"
)


def listed(name, *items):
    return f"<listOf{name}>{''.join(items)}</listOf{name}>" if any(items) else ""


def law(math=KX, local=""):
    return f"<kineticLaw><math {MATH}>{math}</math>{local}</kineticLaw>"


def reaction(
    kinetic=None,
    reference='stoichiometry="1" constant="true"',
    attributes='reversible="false" fast="false"',
    name="r",
    species="X",
):
    reactants = f'<listOfReactants><speciesReference species="{species}" {reference}/></listOfReactants>'
    return f'<reaction id="{name}" {attributes}>{reactants}{law() if kinetic is None else kinetic}</reaction>'


def rule(math="<cn>3</cn>", variable="k", kind="assignmentRule"):
    return f'<{kind} variable="{variable}"><math {MATH}>{math}</math></{kind}>'


def event(
    trigger=AFTER_5,
    inside="",
    assignments=SET_X,
    name="e",
    attributes='useValuesFromTriggerTime="true"',
    on='initialValue="true" persistent="true"',
):
    return (
        f'<event id="{name}" {attributes}><trigger {on}><math '
        f"{MATH}>{trigger}</math></trigger>{inside}{assignments}</event>"
    )


def model(  # noqa: PLR0913 - parts of a document, each given by its name
    functions="",
    cells=CELL,
    species=X,
    parameters=K,
    assigned="",
    rules="",
    constraints="",
    reactions=None,
    events="",
    root=L3,
    attributes="",
):
    parts = [
        listed("FunctionDefinitions", functions),
        listed("Compartments", cells),
        listed("Species", species),
        listed("Parameters", parameters),
        listed("InitialAssignments", assigned),
        listed("Rules", rules),
        listed("Constraints", constraints),
        listed("Reactions", reaction() if reactions is None else reactions),
        listed("Events", events),
    ]
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<sbml {root}><model id="m" '
        f"{attributes}>\n{chr(10).join(parts)}\n</model></sbml>"
    ).encode()


def read(data, **options):
    net = read_sbml(BytesIO(data), **options)
    assert Network.from_text(str(net)) == net
    return net


def lines(**parts):
    return str(read(model(**parts))).splitlines()


def test_a_plain_law_becomes_mass_action():
    assert lines() == ["k = 2", "X = 10", "r: X -> @ k"]


def test_a_law_that_counts_pairs_becomes_mass_action_and_one_that_does_not_stays():
    pairs = (
        "<apply><divide/><apply><times/><ci>k</ci><ci>X</ci>"
        "<apply><minus/><ci>X</ci><cn>1</cn></apply></apply><cn>2</cn></apply>"
    )
    square = "<apply><times/><ci>k</ci><apply><power/><ci>X</ci><cn>2</cn></apply></apply>"
    two = 'stoichiometry="2" constant="true"'
    assert lines(reactions=reaction(law(pairs), two))[-1] == "r: 2 X -> @ k"
    assert lines(reactions=reaction(law(square), two))[-1] == "r: 2 X -> @@ k * X ** 2"


def test_a_local_parameter_hides_a_global_one():
    local = '<listOfLocalParameters><localParameter id="k" value="7"/></listOfLocalParameters>'
    assert lines(reactions=reaction(law(KX, local))) == ["k = 2", "r_k = 7", "X = 10", "r: X -> @ r_k"]
    local = '<listOfParameters><parameter id="k" value="7"/></listOfParameters>'
    old = reaction(law(KX, local), "", 'reversible="false"')
    assert read(model(reactions=old, root=L2)).parameters == {"k": 2, "r_k": 7}


@pytest.mark.parametrize(
    ("size", "substance", "initial", "count", "law"),
    [
        ('size="1"', "true", 'initialAmount="10"', 10, "X -> @ k"),
        ('size="4"', "true", 'initialAmount="10"', 10, "X -> @ k"),
        ('size="4"', "true", 'initialConcentration="10"', 40, "X -> @ k"),
        ('size="4"', "false", 'initialAmount="10"', 10, "X -> @@ k * (X / 4)"),
        ('size="4"', "false", 'initialConcentration="10"', 40, "X -> @@ k * (X / 4)"),
        ("", "false", 'initialAmount="10"', 10, "X -> @ k"),
    ],
)
def test_sizes_are_put_into_laws(size, substance, initial, count, law):
    species = (
        f'<species id="X" compartment="cell" {initial} hasOnlySubstanceUnits="{substance}" '
        f'boundaryCondition="false" constant="false"/>'
    )
    net = read(
        model(cells=f'<compartment id="cell" spatialDimensions="3" {size} constant="true"/>', species=species)
    )
    assert net.initial == {"X": count}
    assert str(net.reactions[0]) == f"r: {law}"


def test_the_name_of_a_compartment_is_its_size():
    times_cell = "<apply><times/><ci>cell</ci><ci>k</ci><ci>X</ci></apply>"
    assert lines(reactions=reaction(law(times_cell)))[-1] == "r: X -> @ k"
    assert (
        lines(cells=CELL.replace('"1"', '"3"'), reactions=reaction(law(times_cell)))[-1] == "r: X -> @ 3 * k"
    )


def test_boundary_and_constant_species_stay():
    net = read(model(species=X.replace('boundaryCondition="false"', 'boundaryCondition="true"')))
    assert net.fixed == {"X"}
    assert net.change(net.reactions[0]) == {}


def test_functions_are_put_in_however_they_nest():
    def function(name, body):
        return (
            f'<functionDefinition id="{name}"><math '
            f"{MATH}><lambda><bvar><ci>x</ci></bvar>{body}</lambda></math></functionDefinition>"
        )

    def call(name, inside):
        return f"<apply><ci>{name}</ci>{inside}</apply>"

    twice = function("f0", "<apply><times/><cn>2</cn><ci>x</ci></apply>") + function(
        "f1", call("f0", call("f0", "<ci>x</ci>"))
    )
    assert lines(functions=twice, reactions=reaction(law(call("f1", "<ci>X</ci>"))))[-1] == "r: X -> @ 2 * 2"
    # Calls in calls: a hundred levels would be 2^100 steps if each were followed.
    same = [
        function("f0", "<ci>x</ci>"),
        *(function(f"f{i}", call(f"f{i - 1}", call(f"f{i - 1}", "<ci>x</ci>"))) for i in range(1, 100)),
    ]
    assert (
        lines(functions="".join(same), reactions=reaction(law(call("f99", "<ci>X</ci>"))))[-1]
        == "r: X -> @ 1"
    )


def test_initial_assignments_and_rules_follow_one_another():
    def assign(symbol, math):
        return f'<initialAssignment symbol="{symbol}"><math {MATH}>{math}</math></initialAssignment>'

    assigned = assign("X", "<apply><times/><ci>k</ci><cn>6</cn></apply>") + assign(
        "k", "<apply><plus/><ci>h</ci><cn>1</cn></apply>"
    )
    parameters = K.replace(' value="2"', "") + '<parameter id="h" constant="false"/>'
    net = read(model(assigned=assigned, parameters=parameters, rules=rule(variable="h")))
    assert (net.initial, net.parameters, [*net.rules]) == ({"X": 24}, {"k": 4.0}, ["h"])


def test_a_rule_on_a_concentration_is_a_rule_on_a_count():
    y = X.replace('"X"', '"Y"').replace('"true" b', '"false" b')
    net = read(
        model(
            cells=CELL.replace('"1"', '"2"'),
            species=X + y,
            rules=rule(KX, "Y"),
            reactions=reaction(law("<ci>Y</ci>")),
        )
    )
    assert to_text(net.rules["Y"]) == "k * X * 2"
    assert evaluate(net.propensity(net.reactions[0]), {"k": 2, "X": 10}) == 20


def test_ids_that_mean_something_in_text_are_changed():
    parameters = (
        K + '<parameter id="t" value="5" constant="true"/><parameter id="t_" value="6" constant="true"/>'
    )
    math = f"<apply><plus/><ci>t</ci><ci>t_</ci>{TIME}<ci>X</ci></apply>"
    assert lines(parameters=parameters, reactions=reaction(law(math)))[-1] == "r: X -> @@ t_ + t__ + t + X"


@pytest.mark.parametrize(
    ("math", "text"),
    [
        (
            "<piecewise><piece><cn>1</cn><apply><lt/><ci>X</ci><cn>3</cn></apply></piece>"
            "<otherwise><ci>k</ci></otherwise></piecewise>",
            "if(X < 3, 1, k)",
        ),
        ("<apply><root/><ci>X</ci></apply>", "sqrt(X)"),
        ("<apply><root/><degree><cn>3</cn></degree><ci>X</ci></apply>", "X ** (1 / 3)"),
        ("<apply><log/><ci>X</ci></apply>", "log(X) / log(10)"),
        ("<apply><log/><logbase><cn>2</cn></logbase><ci>X</ci></apply>", "log(X) / log(2)"),
        ("<apply><minus/><ci>X</ci></apply>", "-X"),
        ("<apply><plus/><ci>X</ci><ci>k</ci><cn>1</cn></apply>", "X + k + 1"),
        ("<apply><plus/><ci>X</ci></apply>", "X"),
        ("<apply><times/><cn type='e-notation'>2<sep/>-3</cn><ci>X</ci><ci>X</ci></apply>", "0.002 * X * X"),
        ("<apply><times/><cn type='rational'>1<sep/>4</cn><ci>X</ci><ci>X</ci></apply>", "0.25 * X * X"),
        (
            "<apply><times/><cn type='integer'>7</cn><pi/><ci>X</ci><ci>X</ci></apply>",
            "7 * 3.141592653589793 * X * X",
        ),
        (
            "<piecewise><piece><cn>1</cn>"
            "<apply><and/><apply><leq/><cn>0</cn><ci>X</ci><cn>3</cn></apply><true/></apply></piece>"
            "<otherwise><cn>0</cn></otherwise></piecewise>",
            "if((0 <= X and X <= 3) and 0 == 0, 1, 0)",
        ),
        (
            "<piecewise><piece><cn>1</cn>"
            "<apply><xor/><apply><eq/><ci>X</ci><cn>3</cn></apply><false/></apply></piece>"
            "<otherwise><cn>0</cn></otherwise></piecewise>",
            "if(X == 3 and not 0 != 0 or not X == 3 and 0 != 0, 1, 0)",
        ),
    ],
)
def test_formulas_become_expressions(math, text):
    parameters = K + '<parameter id="h" constant="false"/>'
    assert to_text(read(model(parameters=parameters, rules=rule(math, "h"))).rules["h"]) == text


def test_events_say_when_they_may_happen():
    priority = f"<priority><math {MATH}><cn>3</cn></math></priority>"
    first = event(inside=priority, on='initialValue="false" persistent="false"')
    second = event(
        "<apply><lt/><ci>X</ci><cn>2</cn></apply>", name="f", attributes='useValuesFromTriggerTime="false"'
    )
    assert lines(events=first + second)[-2:] == [
        "e: at t > 5, priority 3: X = 1",
        "f: when X < 2, not at start: X = 1",
    ]
    old = f'<event id="e"><trigger><math {MATH}>{AFTER_5}</math></trigger>{SET_X}</event>'
    old_reaction = reaction(None, "", 'reversible="false"')
    assert lines(events=old, reactions=old_reaction, root=L2)[-1] == "e: at t > 5, not at start: X = 1"


def test_a_reversible_law_that_only_adds_is_the_way_there():
    assert lines(reactions=reaction(attributes='reversible="true" fast="false"'))[-1] == "r: X -> @ k"


def test_a_fractional_amount_is_rounded_when_asked():
    data = model(species=X.replace('"10"', '"10.4"'))
    assert read(data, rounding=True).initial == {"X": 10}


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE sbml [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><sbml>&b;</sbml>'
)
CONSTRAINT = f"<constraint><math {MATH}>{AFTER_5}</math></constraint>"
DELAY = f"<delay><math {MATH}><cn>1</cn></math></delay>"
DELAYED = (
    '<apply><csymbol encoding="text" '
    'definitionURL="http://www.sbml.org/sbml/symbols/delay">delay</csymbol><ci>X</ci><cn>1</cn></apply>'
)
CALL_F = "<apply><ci>f</ci><ci>X</ci></apply>"
RECURSIVE = (
    f'<functionDefinition id="f"><math {MATH}><lambda><bvar><ci>x</ci></bvar><apply><ci>f</ci>'
    "<ci>x</ci></apply></lambda></math></functionDefinition>"
)
STOICHIOMETRY_MATH = (
    f'<reaction id="r" reversible="false"><listOfReactants><speciesReference '
    f'species="X"><stoichiometryMath><math {MATH}><ci>k</ci></math>'
    f"</stoichiometryMath></speciesReference></listOfReactants>{law()}</reaction>"
)
SET_K = SET_X.replace('"X"', '"k"')
SET_X_BY_K = SET_X.replace("<cn>1</cn>", "<ci>k</ci>")
FREE_K = K.replace('"true"', '"false"')
COMP = L3 + ' xmlns:comp="http://www.sbml.org/sbml/level3/version1/comp/version1" comp:required="true"'
ALIEN = L3 + ' xmlns:alien="http://www.sbml.org/sbml/level3/version1/alien/version1" alien:required="true"'

BROKEN = {
    "nothing": (b"", "line 1, column 1: no element found"),
    "no-xml": (b"2 A -> B @ k", "line 1, column 1: syntax error"),
    "truncated": (model()[:-40], "no element found|mismatched tag|unclosed token"),
    "truncated-in-a-tag": (model()[:300], "unclosed token|no element found"),
    "crossed-tags": (model().replace(b"</model>", b"</modal>"), "mismatched tag"),
    "another-root": (b"<svg></svg>", "want the element sbml, got 'svg'"),
    "doctype": (BOMB, "a DOCTYPE is not allowed"),
    "external-doctype": (b'<!DOCTYPE sbml SYSTEM "file:///etc/passwd"><sbml/>', "a DOCTYPE is not allowed"),
    "utf-16": (
        '<?xml version="1.0" encoding="UTF-16"?><sbml/>'.encode("utf-16"),
        "want UTF-8, got byte 0xff",
    ),
    "latin-1": (
        '<?xml version="1.0" encoding="ISO-8859-1"?><sbml>\u00e9</sbml>'.encode(),
        "want the encoding UTF-8, got 'ISO-8859-1'",
    ),
    "not-utf-8": (b"<sbml>\xe9\xff</sbml>", "want UTF-8, got byte 0xe9 after 6 bytes"),
    "nul": (b"<sbml>\x00</sbml>", "not well-formed"),
    "deep": (b"<sbml>" + b"<a>" * 100_000, "elements must be at most 250 deep"),
    "deep-math": (
        model(reactions=reaction(law("<apply><minus/>" * 5000 + "<cn>1</cn>" + "</apply>" * 5000))),
        "at most 250 deep",
    ),
    "long": (b"<sbml>" + b" " * 17_000_000 + b"</sbml>", "at most 16777216 bytes"),
    "no-namespace": (b"<sbml/>", "line 1: "),
    "no-model": (f"<sbml {L3}></sbml>".encode(), "line 1: No model definition found"),
    "level-1": (
        b'<sbml xmlns="http://www.sbml.org/sbml/level1" level="1" '
        b'version="2"><model><listOfCompartments><compartment name="c"/>'
        b'</listOfCompartments><listOfSpecies><species name="X" compartment="c" '
        b'initialAmount="1"/></listOfSpecies></model></sbml>',
        "SBML Level 1 is not supported",
    ),
    "level-9": (
        model(root='xmlns="http://www.sbml.org/sbml/level9/version1/core" level="9" version="1"'),
        "line 2: ",
    ),
    "required-package": (model(root=COMP), "the package 'comp', which changes the meaning, is not supported"),
    "unknown-package": (model(root=ALIEN), "line 2: "),
    "no-species": (model(species="", reactions=""), "species must name at least one"),
    "wrong-attribute": (model(species=X.replace("initialAmount", "firstAmount")), "line 5: .*Species"),
    "amount-of-letters": (model(species=X.replace('"10"', '"ten"')), "line 5: .*initialAmount"),
    "no-amount": (
        model(species=X.replace('initialAmount="10"', "")),
        "species 'X': want an initial amount or concentration, got none",
    ),
    "fractional-amount": (
        model(species=X.replace('"10"', '"10.4"')),
        "species 'X': expected an initial amount that is a whole .* got 10.4",
    ),
    "negative-amount": (
        model(species=X.replace('"10"', '"-3"')),
        "species 'X': initial amount must be a whole number from 0",
    ),
    "infinite-amount": (
        model(species=X.replace('"10"', '"INF"')),
        "species 'X': want a finite value, got inf",
    ),
    "no-such-compartment": (
        model(species=X.replace('"cell"', '"wall"')),
        "species 'X': want a compartment, got 'wall'",
    ),
    "empty-compartment": (
        model(cells=CELL.replace('size="1"', 'size="0"')),
        "compartment 'cell': want a positive size, got 0",
    ),
    "species-conversion": (
        model(species=X.replace("/>", ' conversionFactor="k"/>')),
        "species 'X': a conversion factor is not supported",
    ),
    "model-conversion": (
        model(attributes='conversionFactor="k"'),
        "model 'm': a conversion factor is not supported",
    ),
    "no-value": (model(parameters=K.replace('value="2"', "")), "parameter 'k': want a value, got none"),
    "infinite-value": (
        model(parameters=K.replace('"2"', '"INF"')),
        "parameter 'k': want a finite value, got inf",
    ),
    "constraint": (model(constraints=CONSTRAINT), "constraint: a constraint is not supported"),
    "rate-rule": (model(rules=rule(kind="rateRule")), "rateRule of 'k': a rate rule is not supported"),
    "algebraic-rule": (
        model(rules=f"<algebraicRule><math {MATH}>{KX}</math></algebraicRule>"),
        "an algebraic rule is not supported",
    ),
    "rule-on-a-compartment": (
        model(rules=rule(variable="cell")),
        "assignmentRule of 'cell': a compartment whose size changes is not",
    ),
    "rule-on-nothing": (
        model(rules=rule(variable="q")),
        "setting 'q', which is no species or parameter, is not supported",
    ),
    "rule-in-a-circle": (
        model(rules=rule("<ci>X</ci>") + rule("<ci>k</ci>", "X")),
        "must not follow one another in a circle",
    ),
    "rule-on-a-moving-species": (
        model(rules=rule(variable="X")),
        "must not change 'X', which follows a rule",
    ),
    "one-over-zero": (
        model(
            assigned=f'<initialAssignment symbol="k"><math '
            f"{MATH}><apply><divide/><cn>1</cn><cn>0</cn></apply></math></initialAssignment>"
        ),
        "the value of 'k' at the start: 1 / 0 is no finite number",
    ),
    "no-law": (model(reactions=reaction("")), "reaction 'r': want a kinetic law, got none"),
    "empty-law": (model(reactions=reaction("<kineticLaw></kineticLaw>")), "want a formula, got none|line "),
    "fast": (
        model(reactions=reaction(attributes='reversible="false" fast="true"')),
        "reaction 'r': a fast reaction is not supported",
    ),
    "reversible": (
        model(reactions=reaction(law(MINUS), attributes='reversible="true" fast="false"')),
        "'r': a reversible reaction whose law",
    ),
    "reversible-by-default": (
        model(reactions=reaction(law(MINUS), "", ""), root=L2),
        "'r': a reversible reaction whose law subtracts",
    ),
    "half-a-molecule": (
        model(reactions=reaction(None, 'stoichiometry="0.5" constant="true"')),
        "speciesReference of 'X': stoichiometry must",
    ),
    "no-stoichiometry": (
        model(reactions=reaction(None, 'constant="true"')),
        "speciesReference of 'X': stoichiometry must .* got nan",
    ),
    "stoichiometry-math": (
        model(reactions=STOICHIOMETRY_MATH, root=L2),
        "speciesReference of 'X': stoichiometryMath is not supported",
    ),
    "unknown-reactant": (
        model(reactions=reaction(species="Y")),
        "speciesReference of 'Y': want a species of the model",
    ),
    "unknown-name": (
        model(reactions=reaction(law("<ci>q</ci>"))),
        "kineticLaw: the name 'q', which is no species, parameter or compartment",
    ),
    "unknown-function": (
        model(reactions=reaction(law(CALL_F))),
        "kineticLaw: the function 'f', which is not defined, in a formula is not",
    ),
    "recursive-function": (
        model(functions=RECURSIVE, reactions=reaction(law(CALL_F))),
        "the function 'f', which calls itself, is not",
    ),
    "wrong-arguments": (
        model(functions=RECURSIVE, reactions=reaction(law("<apply><ci>f</ci><ci>X</ci><ci>k</ci></apply>"))),
        "2 arguments of the function 'f' in a formula, which takes 1",
    ),
    "delayed-value": (
        model(reactions=reaction(law(DELAYED))),
        "kineticLaw: the function 'delay' in a formula is not supported",
    ),
    "factorial": (
        model(reactions=reaction(law("<apply><factorial/><ci>X</ci></apply>"))),
        "the function 'factorial' in a formula is not",
    ),
    "sech": (
        model(reactions=reaction(law("<apply><sech/><ci>X</ci></apply>"))),
        "the function 'sech' in a formula is not supported",
    ),
    "infinity": (
        model(reactions=reaction(law("<infinity/>"))),
        "infinity or notanumber in a formula is not supported",
    ),
    "no-otherwise": (
        model(reactions=reaction(law(f"<piecewise><piece><cn>1</cn>{AFTER_5}</piece></piecewise>"))),
        "a piecewise without otherwise is not supported",
    ),
    "condition-as-law": (
        model(reactions=reaction(law(AFTER_5))),
        "reaction 'r': rate must be a number, got t > 5",
    ),
    "number-as-trigger": (model(events=event("<cn>1</cn>")), "event 'e': trigger must be a condition, got 1"),
    "condition-in-a-sum": (
        model(reactions=reaction(law(f"<apply><plus/><cn>1</cn>{AFTER_5}</apply>"))),
        "kineticLaw: argument 2 of '\\+' must",
    ),
    "wide-law": (
        model(reactions=reaction(law("<apply><plus/>" + "<ci>X</ci>" * 20_000 + "</apply>"))),
        "line 10, column .*: a formula must have at most 10000 elements",
    ),
    "long-law": (
        model(reactions=reaction(law("<apply><minus/>" + "<ci>X</ci>" * 4999 + "</apply>"))),
        "'-' takes 2 arguments, got 4999",
    ),
    "deep-sums": (
        model(
            reactions=reaction(
                law(("<apply><plus/>" * 200) + "<ci>X</ci>" + ("<ci>X</ci>" * 5000 + "</apply>") * 200)
            )
        ),
        "a formula must have at most 10000 elements",
    ),
    "event-delay": (model(events=event(inside=DELAY)), "event 'e': a delay is not supported"),
    "event-without-trigger": (model(events=event().replace("trigger", "condition")), "line "),
    "event-without-assignments": (
        model(events=event(assignments="")),
        "event 'e': assignments must name at least one",
    ),
    "event-on-a-constant": (
        model(events=event(assignments=SET_K)),
        "eventAssignment of 'k': want a target that is not constant",
    ),
    "event-on-a-rule": (
        model(parameters=FREE_K, rules=rule(), events=event(assignments=SET_K)),
        "eventAssignment of 'k': want a target that follows no rule",
    ),
    "event-on-a-compartment": (
        model(events=event(assignments=SET_X.replace('"X"', '"cell"'))),
        "eventAssignment of 'cell': a compartment whose size changes is not supported",
    ),
    "values-of-before": (
        model(parameters=FREE_K, events=event(assignments=SET_K) + event(name="f", assignments=SET_X_BY_K)),
        "event 'f': useValuesFromTriggerTime with values that another event sets is not supported",
    ),
    "not-persistent": (
        model(
            parameters=FREE_K,
            events=event(assignments=SET_K)
            + event(
                "<apply><gt/><ci>k</ci><cn>3</cn></apply>",
                name="f",
                on='initialValue="true" persistent="false"',
            ),
        ),
        "event 'f': persistent=\"false\" with a condition on what another event sets is not supported",
    ),
    "id-twice": (model(species=X + X), "line 5: .*'X'"),
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_told_by_name(data, message, tmp_path):
    path = tmp_path / "broken.xml"
    path.write_bytes(data)
    begin = time.process_time()
    with pytest.raises(ValueError, match=rf"^broken\.xml: (.*?)({message})") as caught:
        read_sbml(path)
    assert "\n" not in str(caught.value)
    assert time.process_time() - begin < 5  # a hang, not a speed: each takes milliseconds


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_sbml(tmp_path / "absent.xml")


def test_without_libsbml_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "libsbml", None)
    for module in ("mathml", "sbml_model"):
        monkeypatch.delitem(sys.modules, f"partita.reactions.{module}", raising=False)
    with pytest.raises(
        ImportError, match=r"reading SBML needs python-libsbml: pip install 'partita\[sbml\]'"
    ):
        read_sbml(BytesIO(model()))


KNOWN = {
    "BIOMD0000000012.xml": (6, 12, 0),
    "BIOMD0000000035.xml": (10, 16, 1),
    "schlogl_cuTauLeaping.xml": (3, 4, 2),
}


@pytest.mark.parametrize("name", KNOWN)
def test_published_models_are_read(data_folder, name):
    net = read_sbml(data_folder / "sbml" / name)
    assert (len(net.species), len(net.reactions), len(net.fixed)) == KNOWN[name]
    assert Network.from_text(str(net)) == net


# What the test suite's cases come to, one of each kind: number → text.
CASES = {
    1: "Lambda = 0.1; Mu = 0.11; X = 100; Birth: X -> 2 X @ Lambda; Death: X -> @ Mu",
    3: "Lambda = 1; Mu = 1.1; X = 100; Birth: X -> 2 X @ Lambda; Death: X -> @ Mu",
    5: "Lambda = 0.1; Mu = 0.11; X = 10000; Birth: X -> 2 X @ Lambda; Death: X -> @ Mu",
    7: "Lambda = 0.1; Mu = 0.11; X = 100; Birth: X -> 2 X @ Lambda; Death: X -> Sink @ Mu",
    9: "Lambda = 0.1; Mu = 0.11; X = 100; Birth: X -> 2 X @ Lambda; Death: X -> @ Mu",
    11: "Lambda = 0.1; Mu = 0.11; X = 100; Birth: X -> 2 X @@ Lambda * (X / 2); Death: X -> @@ Mu * (X / 2)",
    13: "Lambda = 0.2; Mu = 0.11; X = 100; Birth: X -> 2 X @ Lambda * 0.5; Death: X -> @ Mu",
    15: "Lambda = 0.1; Mu = 0.11; X = 100; Birth: X -> 2 X @@ Lambda * (X / 2) / 0.5; Death: X -> @ Mu",
    17: "Lambda = 0.1; Mu = 0.11; X = 100; Birth: X -> 2 X @ Lambda; Death: X -> @ Mu",
    19: "species X, y; Lambda = 0.1; Mu = 0.11; X = 100; y := 2 * X; Birth: X -> 2 X @ Lambda; Death: X -> "
    "@ Mu",
    21: "Alpha = 10; Mu = 0.1; Immigration: -> X @ Alpha; Death: X -> @ Mu",
    23: "Alpha = 1000; Mu = 0.1; Immigration: -> X @ Alpha; Death: X -> @ Mu",
    25: "species X, Source, Sink; fixed Source; Alpha = 10; Mu = 0.1; Immigration: Source -> X @@ Alpha; "
    "Death: X -> Sink @ Mu",
    27: "k = 2; Immigration_k = 1; Death_k = 0.1; Immigration: -> X @ Immigration_k; Death: X -> @ Death_k",
    29: "Alpha = 1; Mu = 0.1; Immigration: -> X @ Alpha; Death: X -> @ Mu; reset: at t >= 22.5: X = 20",
    31: "k1 = 0.0002; k2 = 0.004; P = 1000; Dimerisation: 2 P -> P2 @ k1; Disassociation: P2 -> 2 P @ k2",
    33: "k1 = 0.001; k2 = 0.01; P = 100; Dimerisation: 2 P -> P2 @ k1; Disassociation: P2 -> 2 P @ "
    "k2;reset: when P2 > 30: P = 100, P2 = 0",
    35: "k1 = 0.001; k2 = 0.01; Dimerisation: -> P2 @@ k1 * (100 - 2 * P2) * (100 - 2 * P2 - 1) / 2; "
    "Disassociation: P2 -> @ k2",
    37: "Alpha = 1; Mu = 0.2; Immigration: -> 5 X @ Alpha; Death: X -> @ Mu",
    39: "Alpha = 1; Mu = 4; Immigration: -> 100 X @ Alpha; Death: X -> @ Mu",
}


@pytest.mark.parametrize("number", CASES)
def test_the_test_suite_is_read_as_it_is_meant(data_folder, number):
    folder = data_folder.parent / "dsmts" / f"{number:05}"
    if not folder.is_dir():
        pytest.skip(f"no test suite at {folder.parent}")
    assert read_sbml(folder / f"{number:05}-sbml-l3v1.xml") == Network.from_text(CASES[number])


L3V2 = 'xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"'
DECLARED = {
    "L3V2": L3V2,
    "L3V1 with the package": L3
    + ' xmlns:m="http://www.sbml.org/sbml/level3/version1/l3v2extendedmath/version1" m:required="true"',
}
L3V2_REACTION = reaction(attributes='reversible="false"')


@pytest.mark.parametrize("declared", DECLARED)
def test_extended_mathematics_may_be_declared(declared):
    net = read(model(root=DECLARED[declared], reactions=L3V2_REACTION if declared == "L3V2" else None))
    assert str(net) == str(read(model()))


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize(
    ("math", "name"),
    [
        ("<apply><rem/><ci>X</ci><cn>2</cn></apply>", "rem"),
        ("<apply><quotient/><ci>X</ci><cn>2</cn></apply>", "quotient"),
        (
            "<piecewise><piece><cn>1</cn><apply><implies/><true/><true/></apply></piece>"
            "<otherwise><cn>2</cn></otherwise></piecewise>",
            "implies",
        ),
        (
            '<apply><csymbol encoding="text" '
            'definitionURL="http://www.sbml.org/sbml/symbols/rateOf">rateOf</csymbol><ci>X</ci></apply>',
            "rateOf",
        ),
    ],
)
def test_extended_mathematics_that_is_used_is_told_by_name(declared, math, name):
    attributes = 'reversible="false"' + (' fast="false"' if declared != "L3V2" else "")
    with pytest.raises(ValueError, match=f"the function '{name}' in a formula is not supported"):
        read(model(root=DECLARED[declared], reactions=reaction(law(math), attributes=attributes)))


@pytest.mark.parametrize("declared", DECLARED)
def test_least_and_most_are_known(declared):
    attributes = 'reversible="false"' + (' fast="false"' if declared != "L3V2" else "")
    least = law("<apply><times/><ci>k</ci><apply><min/><ci>X</ci><cn>3</cn></apply></apply>")
    assert "min(X, 3)" in str(
        read(model(root=DECLARED[declared], reactions=reaction(least, attributes=attributes)))
    )


@pytest.mark.parametrize(
    ("math", "message"),
    [
        (
            "<apply><divide/><ci>valid</ci><cn>0</cn></apply>",
            "the value of 'k' at the start: valid / 0 is no finite number",
        ),
        (
            "<apply><plus/><ci>id</ci><ci>none</ci></apply>",
            "the value of 'k' at the start: 'none' has no value here",
        ),
        (
            "<apply><divide/><ci>t</ci><cn>0</cn></apply>",
            "the value of 'k' at the start: t_ / 0 is no finite number",
        ),
    ],
)
def test_words_that_hold_id_stay_whole(math, message):
    parameters = K + "".join(
        f'<parameter id="{name}" value="1" constant="true"/>' for name in ("valid", "id", "t")
    )
    parameters += '<parameter id="none" constant="true"/>'
    assigned = f'<initialAssignment symbol="k"><math {MATH}>{math}</math></initialAssignment>'
    with pytest.raises(ValueError, match=message):
        read_sbml(BytesIO(model(parameters=parameters, assigned=assigned)))


def test_time_is_not_the_parameter_t():
    parameters = K + '<parameter id="t" constant="false"/>'
    net = read(model(parameters=parameters, rules=rule(f"<apply><plus/>{TIME}<cn>1</cn></apply>", "t")))
    assert to_text(net.rules["t_"]) == "t + 1"


def test_ids_of_absurd_length_are_refused():
    with pytest.raises(ValueError, match=r"must have fewer than 255 letters .*got 'k+'…") as error:
        read(model(parameters=K + f'<parameter id="{"k" * 70_000}" value="1" constant="true"/>'))
    assert len(str(error.value)) < 1000
