from service.api.app import create_app
from service.server.server import Server
from service.settings import Settings


def test_fractions_of_a_second_are_no_less_than_asked_for():
    settings = Settings(shutdown_grace_s=0.5, keep_alive_s=0.5)
    config = Server(create_app(settings), settings).config
    assert (config.timeout_graceful_shutdown, config.timeout_keep_alive) == (1, 1)
