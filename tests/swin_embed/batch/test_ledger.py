from swin_embed.batch.ledger import Ledger


def test_an_id_is_new_once():
    ledger = Ledger()
    ledger.add_all(["a", "b", "a"])
    assert [ledger.add(name) for name in ("a", "c", "c", "C", "b")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    ledger.close()
