"""The receiver: Storage and Verification SCP for everything that an MRI scanner sends, one of several on the same port.

In: associations of listed peers. Out: files in the spool, rows in the ledger. Default deny: who is not in
`receive.peers` is rejected. The network is pynetdicom's; what happens to an instance is `service.intake`.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, cast

from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom import _config as pynetdicom_config
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_io.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Origin
from service.config import Config, Peer
from service.fault import path_to
from service.filing import Ended, Filer, Opened
from service.intake import Intake
from service.presence import Presence
from service.sop_classes import STORAGE, TRANSFER_SYNTAXES, VERIFICATION, know_private_classes
from service.spool import Spool

LOG = logging.getLogger("betz.receive")

MAXIMUM_PDU = 131072  # half the CPU of pynetdicom's 16 382; larger gains nothing
LARGEST_PDU_TAKEN = 2 * MAXIMUM_PDU  # a length beyond it is an attack, not a scanner that counts its header in
BACKLOG = 128
NEGOTIATE_WITHIN_S = 30.0
DRAIN_S = 20.0  # of the 30 s that the supervisor gives; the rest is for the ledger
FILE_REST_S = 8.0
HALF_WRITTEN_S = 3600.0  # no instance takes this long; what is older in incoming/ is of a process that died

SUCCESS, PROCESSING_FAILURE, CLASS_NOT_SUPPORTED = 0x0000, 0x0110, 0x0122
C_STORE_RSP, NO_DATA_SET = 0x8001, 0x0101  # PS3.7 E.1-1
LAST_OF_COMMAND = b"\x03"  # message control header, PS3.8 E.2
COMMENT_MAX = 64  # VR LO of Error Comment

# result, source, diagnostic of A-ASSOCIATE-RJ (PS3.8 table 9-21)
UNKNOWN_CALLED = (1, 1, 7)
UNKNOWN_CALLING = (1, 1, 3)
CONGESTED = (2, 3, 1)


@dataclass(slots=True)
class Sender:
    """The other side of one association."""

    association_id: str
    ae_title: str
    address: str
    instances: int = 0


def run(config: Config, stop: threading.Event) -> None:
    """Receive until `stop`; then let associations end, for at most `DRAIN_S`."""
    _do_only_what_is_needed()
    spool = Spool(config.spool.path)
    spool.sweep(time.time() - HALF_WRITTEN_S)
    presence = Presence(spool.path)
    filer = Filer(config.ledger_url, spool)
    receiver = Receiver(config, Intake(spool, filer, config.spool.reserve_mb), filer, presence.token)
    receiver.start()
    try:
        stop.wait()
        receiver.drain(DRAIN_S)
    finally:
        receiver.shut()
        presence.leave(filed=filer.close(FILE_REST_S))


class Receiver:
    """One listening socket and its associations."""

    def __init__(self, config: Config, intake: Intake, filer: Filer, token: str) -> None:
        """Prepare to listen; `token` begins the ids of associations."""
        self._settings = config.receive
        self._intake = intake
        self._filer = filer
        self._token = token
        self._senders: dict[Association, Sender] = {}
        self._count = 0
        self._draining = False
        self._ae = _application_entity(config)

    def start(self) -> None:
        """Listen; returns at once."""
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ESTABLISHED, self._established),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._ended, ["released"]),
            (evt.EVT_ABORTED, self._ended, ["aborted"]),
            (evt.EVT_CONN_CLOSE, self._ended, ["lost"]),
        ]
        address = (self._settings.host, self._settings.port)
        server = self._ae.make_server(address, evt_handlers=handlers, server_class=_Server)
        self._ae._servers.append(server)  # as AE.start_server does, which cannot be told of a server class
        threading.Thread(target=server.serve_forever, name="listener", daemon=True).start()
        LOG.info("receiver.listening ae=%s address=%s:%d", self._settings.ae_title, *address)

    def drain(self, within_s: float) -> None:
        """Turn new associations away and wait for those that run."""
        self._draining = True
        until = time.monotonic() + within_s
        while self._senders and time.monotonic() < until:
            time.sleep(0.05)

    def shut(self) -> None:
        """Abort what still runs and close the port."""
        self._draining = True
        self._ae.shutdown()

    def _requested(self, event: Event) -> None:
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        address = plain_address(event.assoc.requestor.address)
        if self._draining:
            verdict, why = CONGESTED, "stopping"
        elif called != self._settings.ae_title.strip():
            verdict, why = UNKNOWN_CALLED, "called AE title is not ours"
        elif not may_send(self._settings.peers, calling, address):
            verdict, why = UNKNOWN_CALLING, "not in receive.peers"
        else:
            return
        LOG.warning("association.rejected calling=%r address=%s why=%r", calling, address, why)
        event.assoc.acse.send_reject(*verdict)
        event.assoc.kill()

    def _established(self, event: Event) -> None:
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        self._count += 1
        self._senders[event.assoc] = Sender(
            association_id=f"{self._token}-{self._count}",
            ae_title=request.calling_ae_title.strip(),
            address=plain_address(event.assoc.requestor.address),
        )

    def _store(self, event: Event) -> Dataset:
        request, context = cast(C_STORE, event.request), event.context
        sender = self._senders[event.assoc]
        if request.AffectedSOPClassUID != context.abstract_syntax:
            return _response(CLASS_NOT_SUPPORTED, "SOP class is not the presentation context's")
        if sender.instances == 0:
            self._filer.put(Opened(sender.association_id, sender.ae_title, sender.address, time.time()))
        sender.instances += 1
        origin = Origin(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(context.transfer_syntax),
            source_ae=sender.ae_title,
            source_address=f"dicom://[{sender.address}]" if ":" in sender.address else f"dicom://{sender.address}",
        )
        try:
            with cast(BytesIO, request.DataSet).getbuffer() as data_set:
                answer = self._intake.take(origin, data_set, sender.association_id)
        except Exception as error:  # noqa: BLE001  rim of one instance: its sender is told, the others go on
            LOG.error("instance.failed error=%s", path_to(error))
            return _response(PROCESSING_FAILURE, "internal error")
        return _response(answer.status, answer.comment)

    def _ended(self, event: Event, outcome: str) -> None:
        sender = self._senders.pop(event.assoc, None)
        if sender is None or sender.instances == 0:
            return
        self._filer.put(Ended(sender.association_id, outcome, time.time()))
        LOG.info("association.%s calling=%r instances=%d", outcome, sender.ae_title, sender.instances)


def _do_only_what_is_needed() -> None:
    """Spare this process what pynetdicom and pydicom do for each message and nobody here reads."""
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"  # every message and PDU as text, though no log wants it
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE  # of UIDs in commands: the spool's names do


def may_send(peers: tuple[Peer, ...], calling_ae: str, address: str) -> bool:
    """Whether `receive.peers` lists this AE title at this address."""
    here = ip_address(address)
    return any(
        peer.ae_title.strip() == calling_ae and any(here in ip_network(a, strict=False) for a in peer.addresses)
        for peer in peers
    )


def plain_address(address: str) -> str:
    """Address without a zone, IPv4 where an IPv6 socket maps it."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)


def _response(status: int, comment: str) -> Dataset:
    response = Dataset()
    response.Status = status
    if comment:
        response.ErrorComment = comment[:COMMENT_MAX]
    return response


def _application_entity(config: Config) -> AE:
    know_private_classes()
    ae = AE(ae_title=config.receive.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = MAXIMUM_PDU
    ae.maximum_associations = config.receive.max_associations
    ae.acse_timeout = NEGOTIATE_WITHIN_S
    ae.network_timeout = config.receive.idle_timeout_s or None
    ae.dimse_timeout = config.receive.idle_timeout_s or None
    ae.add_supported_context(VERIFICATION)
    for uid in STORAGE:
        ae.add_supported_context(uid, list(TRANSFER_SYNTAXES))
    return ae


def success_of(response: C_STORE) -> bytes:
    """Encode the command set of a C-STORE-RSP with Success (PS3.7 9.3.1.2), which pynetdicom takes 1 ms over."""
    body = b"".join(
        (
            _element(0x0002, str(response.AffectedSOPClassUID).encode()),
            _element(0x0100, struct.pack("<H", C_STORE_RSP)),
            _element(0x0120, struct.pack("<H", response.MessageIDBeingRespondedTo)),
            _element(0x0800, struct.pack("<H", NO_DATA_SET)),
            _element(0x0900, struct.pack("<H", SUCCESS)),
            _element(0x1000, str(response.AffectedSOPInstanceUID).encode()),
        )
    )
    return _element(0x0000, struct.pack("<L", len(body))) + body


def _element(number: int, value: bytes) -> bytes:
    """Encode an element of group 0000, Implicit VR Little Endian (PS3.7 6.3.1)."""
    value += b"\x00" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


class _Handler(RequestHandler):
    """Accepts connections whose PDUs have a size that a scanner may want; says Success without detours."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        link: Any = association.dul.socket
        receive: Callable[[int], bytearray] = link.recv

        def receive_limited(amount: int) -> bytearray:
            if amount > LARGEST_PDU_TAKEN:
                raise OSError(f"a PDU of {amount} bytes")  # pynetdicom would make room for all of it
            return receive(amount)

        link.recv = receive_limited
        dimse: Any = association.dimse
        send: Callable[[Any, int], None] = dimse.send_msg

        def send_quickly(message: Any, context_id: int) -> None:
            if isinstance(message, C_STORE) and message.Status == SUCCESS:
                answer = P_DATA()
                answer.presentation_data_value_list.append((context_id, LAST_OF_COMMAND + success_of(message)))
                association.dul.send_pdu(answer)
            else:
                send(message, context_id)

        dimse.send_msg = send_quickly
        return association


class _Server(ThreadedAssociationServer):
    """Shares its port with sibling processes; the kernel deals connections out."""

    request_queue_size = BACKLOG

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **(named | {"request_handler": _Handler}))

    def server_bind(self) -> None:
        cast(socket.socket, self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = super().get_request()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return client, address
