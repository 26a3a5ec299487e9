"""Ports for servers that don't listen yet."""

from __future__ import annotations

import contextlib

from data_platform.local_cloud.ports import Claims, is_free
from data_platform_tests.servers.ports import own_port


def test_two_clouds_that_want_one_port_get_two_before_either_listens() -> None:
    wanted = own_port()
    with contextlib.closing(Claims()) as one, contextlib.closing(Claims()) as two:
        assert one.choose([wanted], set()) == wanted
        assert two.choose([wanted], set()) != wanted


def test_a_claim_keeps_its_port_for_its_owner_and_for_the_server() -> None:
    wanted = own_port()
    with contextlib.closing(Claims()) as claims:
        assert claims.choose([wanted], set()) == claims.choose([wanted], set()) == wanted
        assert is_free(wanted), "the server can listen on it"


def test_a_port_is_free_for_others_once_its_claim_is_given_up() -> None:
    wanted = own_port()
    with contextlib.closing(Claims()) as one:
        one.choose([wanted], set())
    with contextlib.closing(Claims()) as two:
        assert two.choose([wanted], set()) == wanted
