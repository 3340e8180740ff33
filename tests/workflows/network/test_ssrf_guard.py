import asyncio

import pytest

from workflows.errors import StepError
from workflows.network.ssrf_guard import is_public, resolve

PRIVATE = {
    "127.0.0.1": "loopback",
    "127.8.9.1": "loopback",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "169.254.169.254": "metadata",
    "168.63.129.16": "Azure's metadata",
    "192.0.0.192": "Oracle's metadata",
    "100.100.100.200": "Alibaba's metadata, in CGNAT",
    "100.64.0.1": "CGNAT",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "this network",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "192.0.2.1": "documentation",
    "198.18.0.1": "benchmarking",
    "192.88.99.1": "6to4 relay",
    "::1": "loopback",
    "::": "unspecified",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with a zone",
    "fec0::1": "site-local",
    "fc00::1": "unique local",
    "fd00:ec2::254": "AWS's metadata",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "mapped loopback",
    "::ffff:169.254.169.254": "mapped metadata",
    "::127.0.0.1": "IPv4-compatible",
    "64:ff9b::7f00:1": "NAT64 of loopback",
    "64:ff9b::a9fe:a9fe": "NAT64 of metadata",
    "64:ff9b:1::1": "local NAT64",
    "2002:7f00:1::": "6to4 of loopback",
    "2002:a9fe:a9fe::1": "6to4 of metadata",
    "2001:0:7f00:1::": "Teredo",
    "2001:db8::1": "documentation",
    "100::1": "discard",
}


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert not is_public(address), PRIVATE[address]


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1"])
def test_odd_ways_to_write_loopback_are_resolved_first(host: str) -> None:
    assert asyncio.run(resolve(host, 80)) == ["127.0.0.1"]


def test_unknown_host() -> None:
    with pytest.raises(StepError) as caught:
        asyncio.run(resolve("no-such-host.invalid", 80))
    assert (caught.value.code, caught.value.retryable) == ("unknown_host", True)
