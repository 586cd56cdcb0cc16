"""What is read from checkpoints is what a compiler and RLtools make of them; anything else is refused."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from rltools_checkpoints import KINDS, OBSERVATION, write_checkpoints

from sb3_tinyrl.tinyrl import load_checkpoint
from sb3_tinyrl.tinyrl.checkpoint_parser import parse_checkpoint
from sb3_tinyrl.tinyrl.checkpoint_scopes import CheckpointSyntaxError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_rltools_writes_is_evaluated_as_rltools_does(folder, kind):
    policy = parse_checkpoint((folder / f"{kind}.h").read_text())
    output = policy.evaluate(OBSERVATION)
    expected = np.loadtxt(folder / f"{kind}.txt", ndmin=1)
    if kind.endswith("sac"):  # RLtools evaluates to the action
        output, standard_deviation = np.split(output, 2)
        output = np.tanh(output)
        assert (standard_deviation > 0).all()
    assert policy.observation_dim == len(OBSERVATION)
    assert output.dtype == (np.float64 if kind == "double" else np.float32)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-15 if kind == "double" else 2e-7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["relu_sac", "fast_tanh_sac", "double", "ppo"])
def test_a_compiler_reads_the_same(folder, kind):
    """But for td3: what RLtools 2.2 writes of that layer does not compile."""
    text = (folder / f"{kind}.h").read_text()
    read, compiled = load_checkpoint(text), load_checkpoint(f"{text}\nnamespace beside {{}}\n", trust=True)
    observations = np.random.default_rng(0).normal(size=(100, len(OBSERVATION)), scale=3)
    outputs = [np.array([checkpoint.evaluate(o) for o in observations]) for checkpoint in (read, compiled)]
    assert outputs[0].dtype == outputs[1].dtype
    np.testing.assert_allclose(
        *outputs, rtol=1e-14 if kind == "double" else 1e-5, atol=1e-14 if kind == "double" else 1e-6
    )


def test_what_rltools_training_loop_adds_is_passed_over(folder):
    text = (folder / "relu_sac.h").read_text()
    loop = re.sub(r"^namespace policy", "namespace rl_tools::checkpoint::actor", text, flags=re.MULTILINE)
    loop += """
        namespace rl_tools::checkpoint::example::input { constexpr float memory[] = {0X1.8P+0f}; }
        namespace rl_tools::checkpoint::meta{
            char name[] = "runs/2026-01-01/0; }";
            char commit_hash[] = "c0ffee";
        }
        namespace rl_tools::checkpoint::meta::environment { struct Parameters { float mass = 1; }; }
    """
    assert (parse_checkpoint(loop).evaluate(OBSERVATION) == parse_checkpoint(text).evaluate(OBSERVATION)).all()


SAYS_SOMETHING_ELSE = [
    # statement of the checkpoint, another in its place, what is said about it
    ("layer_0::factory<TYPE::CONTENT>", "layer_1::factory<TYPE::CONTENT>", "its model has"),
    ("Module<layer_0::TEMPLATE", "Module<layer_1::TEMPLATE", "its model_definition has"),
    ("{weights::parameters, biases", "{biases::parameters, biases", "its layer_0::input_layer has"),
    ("memory[] = {", "memory[] = {1.0f, ", r"has \d+ numbers for the shape"),
    ("memory[] = {", "memory[] = {f(), ", "other than numbers with commas"),
    ("memory[] = {", "memory[] = {nan, ", "no number"),
    ("memory[] = {", "memory[] = {1e39f, ", "not finite"),
    ("memory[] = {", "other[] = {", "has 'constexpr float other"),
    ("{(float*)memory}", "{(float*)other}", "has 'constexpr CONTAINER_TYPE"),
    ("ActivationFunction::RELU", "ActivationFunction::GELU", "has the activation function 'GELU'"),
    (
        "mlp::Configuration<TYPE_POLICY, unsigned long, 4, 4, 7",
        "mlp::Configuration<TYPE_POLICY, unsigned long, 4, 4, 8",
        "other layers than",
    ),
    ("mlp::BindConfiguration", "gru::BindConfiguration", "is none of the layers"),
    ("Shape<unsigned long, 1, 1, 5>", "Shape<unsigned long, 1, 1, 6>", "takes 5 values"),
    ("LOG_STD_UPPER_BOUND = 2", "LOG_STD_UPPER_BOUND = f()", "its layer_1 has 'using PARAMETERS"),
    ("float LOG_STD_UPPER_BOUND = 2", "bool LOG_STD_UPPER_BOUND = true", "lacks numbers as bounds"),
    ("float LOG_STD_UPPER_BOUND = 2", "float LOG_STD_UPPER_BOUND = 1e39f", "between -20.0 and inf"),
    ("namespace layer_1", "namespace layer_2", "lacks layer_1"),
    ("namespace policy {", "int x = f(); namespace policy {", "has 'int x=f.*outside of its model"),
    ("namespace policy {", "namespace policy { int x = f();", "its model has 'int x=f"),
    ("namespace policy {", "namespace std { int f(); } namespace policy {", "has the namespace 'std'"),
    ("namespace policy {", "#define float double\nnamespace policy {", "has the line '#define float double'"),
    ("namespace policy {", "// \\\nnamespace policy {", "ends in a backslash"),
    (
        "namespace policy {",
        "namespace policy { namespace layer_0 { using CONFIG = int; }",
        "its layer_0 has 'using CONFIG=int'",
    ),
    ("namespace policy {", "namespace policy {" + "namespace a {" * 20, "nested more than"),
    # What a compiler would take for another number, or another type.
    ("memory[] = {0X", "memory[] = {010, 0X", "no number"),
    ("memory[] = {", "memory[] = {18446744073709551617, ", "no number"),
    ("memory[] = {", "memory[] = {\u0663, ", "it has '\u0663'"),
    ("memory[] = {", "memory[] = {1'000, ", 'it has "\'"'),
    ("Shape<unsigned long, 1, 1, 5>", "Shape<unsigned long, 1, 1, 05>", "has 'using INPUT_SHAPE"),
    ("Shape<unsigned long, 7, 5>", "Shape<unsigned long, 07, 5>", "has 'using SHAPE"),
    ("constexpr float memory", "constexpr double memory", "both float and double"),
    ("(float*)memory", "(double*)memory", "both float and double"),
    ("numeric_types::Policy<float>", "numeric_types::Policy<double>", "both float and double"),
    (
        "PARAMETERS{",
        "PARAMETERS{ struct X { static constexpr float LOG_STD_UPPER_BOUND = 1; };",
        "has 'using PARAMETERS",
    ),
    # What hides a part of the text from a compiler, or shows it another.
    ("memory[] = {", "memory[] = { // \\ \n", "ends in a backslash"),
    ("memory[] = {", "memory[] = { // \r", "carriage return"),
    ("memory[] = {", "memory[] = {\0", "null character"),
    ("memory[] = {", "memory[] = {\n#include <rl_tools/version.h>\n", "has the line '#include"),
    ("namespace policy {", "namespace policy { namespace action {\n%:define TANH RELU\n;}", "it has '%'"),
    ("namespace policy {", "namespace policy { namespace action { char a = '\"'; }", 'it has "\'"'),
    ("namespace policy {", 'namespace policy { namespace action { char a[] = R"x(" ; }', r"""it has 'R"x\("'"""),
    ("namespace policy {", 'namespace policy { namespace action { char a[] = "; }', "it has '\"'"),
    ("namespace policy {", "namespace policy { /* ", "a comment without an end"),
    ("namespace policy {", "namespace policy { namespace lay er {}", "it has 'namespace lay er"),
    # Code beside the model.
    ("namespace policy {", "namespace policy { namespace action { int f() { return 1; } }", "which is more than data"),
    ("namespace policy {", 'namespace policy { namespace action { std::ofstream f{"x"}; }', "which is more than data"),
    (
        "namespace policy {",
        "namespace rl_tools::checkpoint::meta { namespace a { int x = f(); } } namespace policy {",
        "its rl_tools::checkpoint::meta::a has 'int x=f.*which is more than data",
    ),
    ("namespace policy {", "} namespace policy {", "a closing brace too many"),
    ("namespace policy {", "namespace policy { {", "ends within a namespace"),
]


@pytest.mark.parametrize(
    ("old", "new", "message"), SAYS_SOMETHING_ELSE, ids=[new[:40] for _, new, _ in SAYS_SOMETHING_ELSE]
)
def test_a_text_that_says_something_else_is_refused(folder, old, new, message):
    text = (folder / "relu_sac.h").read_text()
    assert old in text
    with pytest.raises(CheckpointSyntaxError, match=message):
        parse_checkpoint(text.replace(old, new, 1))


def test_a_text_that_ends_early_is_refused(folder):
    text = (folder / "dense.h").read_text().rstrip()
    for end in range(0, len(text), 7):
        with pytest.raises(CheckpointSyntaxError):
            parse_checkpoint(text[:end])


HUGE = {
    "comments": ("/* " * 300_000, "a comment without an end"),
    "braces": ("{" * 1_000_000, "without an end"),
    "namespaces": ("; " + "namespace a {" * 100_000, "nested more than 16 deep"),
    "statements": ("a;" * 100_000, "more than 1000 statements"),
    "closing braces": ("}" * 1_000_000, "without an end"),
    "digits": ("1" * 1_000_000 + ";}", "it has the models|its model has"),
    "quotation marks": ('"' * 999_999, "it has '\"'"),
    "a name": (f"; }} namespace {'a' * 1_000_000} {{}}", "it has the namespace 'aaa"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_text_takes_time_in_proportion_and_is_quoted_in_part(kind):
    text, message = HUGE[kind]
    start = time.perf_counter()
    with pytest.raises(CheckpointSyntaxError, match=message) as error:
        parse_checkpoint(f"namespace policy {{ module {text}")
    assert time.perf_counter() - start < 60
    assert len(str(error.value)) < 300


def test_many_layers_take_no_time():
    with pytest.raises(CheckpointSyntaxError, match="it has 100000 layers, expected at most 100"):
        parse_checkpoint("namespace policy {" + "".join(f"namespace layer_{i} {{}}" for i in range(100_000)) + "}")
