from tests.pages import ROOT, blocks


def test_the_commands_of_the_page_work(cluster):
    [block] = blocks(ROOT / "platform/gangs.md", "sh queues")
    cluster.run("bash", "-euc", block)
