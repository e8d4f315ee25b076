"""The page on compiled programs: its table is that of the sources, its program that of the code."""

from backprop import SGD, Network
from tests.docs.pages import PAGES, blocks
from tests.docs.side_by_side import with_section

PAGE = "docs/compiled.md"


def test_equation_numpy_and_c_stand_side_by_side_as_in_the_sources():
    page = PAGES["docs/the_four_equations.md"]
    assert with_section(page) == page


def test_the_program_shown_is_the_program():
    network = Network.from_sizes([784, 30, 10], rng=0)
    assert blocks(PAGE, "c")[0] in str(network.program(batch_size=10, optimizer=SGD(3.0)))
