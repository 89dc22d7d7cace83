"""What clients and servers must agree on without ever talking about it."""

from __future__ import annotations

from rondel.rpc import channel, server
from rondel.rpc.methods import REQUESTS, SERVICE
from rondel.rpc.pb import ingester_pb2 as pb


def test_servers_allow_the_pings_that_clients_send() -> None:
    """Otherwise an idle stream is ended after the third ping, for too many of them."""
    client, allowed = dict(channel.KEEPALIVE), dict(server.KEEPALIVE)
    assert client["grpc.keepalive_time_ms"] > allowed["grpc.http2.min_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_permit_without_calls"] == 1
    assert allowed["grpc.keepalive_permit_without_calls"] == 1


def test_every_method_of_the_service_has_its_types() -> None:
    described = pb.DESCRIPTOR.services_by_name["Ingester"]
    assert described.full_name == SERVICE
    spoken = {call.path: (request.DESCRIPTOR, call.reply.DESCRIPTOR) for call, request in REQUESTS.items()}
    assert spoken == {
        f"/{SERVICE}/{method.name}": (method.input_type, method.output_type) for method in described.methods
    }
