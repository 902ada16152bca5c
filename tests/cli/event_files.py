"""Reads TensorBoard event files: the framing, and the parts of protobuf's wire format that they use."""

import struct


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    """The records of a file. A torn last record is skipped; a wrong checksum is an error."""
    at = 0
    while at + 12 <= len(data):
        length, of_length = struct.unpack_from("<QI", data, at)
        if masked(crc32c(data[at:at + 8])) != of_length:
            raise ValueError(f"byte {at}: wrong checksum of a length")
        end = at + 12 + length
        if end + 4 > len(data):
            return
        event = data[at + 12:end]
        if masked(crc32c(event)) != struct.unpack_from("<I", data, end)[0]:
            raise ValueError(f"byte {at}: wrong checksum of a record")
        yield event
        at = end + 4


def fields(message):
    """(number, value) of each field: int for varints, float for fixed sizes, bytes for the rest."""
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
        elif wire == 1:
            yield number, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif wire == 5:
            yield number, struct.unpack_from("<f", message, at)[0]
            at += 4
        elif wire == 2:
            length = varint()
            yield number, message[at:at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire}")


def doubles(packed):
    return list(struct.unpack(f"<{len(packed) // 8}d", packed))


def value_of(message):
    """(tag, float), (tag, histogram as a dict), (tag, markdown) or (tag, hyperparameters as a dict)."""
    parts = dict(fields(message))
    tag = parts[1].decode()
    if 9 in parts:
        plug_in = dict(fields(dict(fields(parts[9]))[1]))
        if plug_in[1] == b"hparams":
            return tag, hyperparameters(plug_in[2])
        assert plug_in[1] == b"text", plug_in
        tensor = dict(fields(parts[8]))
        assert tensor[1] == 7 and dict(fields(dict(fields(tensor[2]))[2])) == {1: 1}
        return tag, tensor[8].decode()
    if 2 in parts:
        return tag, parts[2]
    histogram = dict(fields(parts[5]))
    names = {1: "min", 2: "max", 3: "num", 4: "sum", 5: "sum_squares"}
    result = {name: histogram[number] for number, name in names.items()}
    return tag, {**result, "limits": doubles(histogram[6]), "counts": doubles(histogram[7])}


def hyperparameters(message):
    settings = {}
    for number, entry in fields(dict(fields(message))[3]):
        if number == 1:
            key, value = (part for _, part in sorted(fields(entry)))
            ((kind, value),) = fields(value)
            settings[key.decode()] = {2: float, 3: bytes.decode, 4: bool}[kind](value)
    return settings


def events(path):
    """Dicts with "wall_time", "step" and one of "version", "start", "values"."""
    for record in records(path.read_bytes()):
        parts = dict(fields(record))
        event = {"wall_time": parts[1], "step": parts.get(2, 0)}
        if 3 in parts:
            event["version"] = parts[3].decode()
        if 5 in parts:
            event["values"] = [value_of(value) for number, value in fields(parts[5]) if number == 1]
        if 7 in parts:
            event["start"] = dict(fields(parts[7])).get(1) == 1
        yield event


def read_folder(folder, honour_starts=True):
    """{tag: [(step, value), ...]} over all files in the order of their names. A second START and later ones drop what
    came before of their step and later steps, as TensorBoard does."""
    series, started = {}, False
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in events(path):
            if event.get("start"):
                if started and honour_starts:
                    for tag in series:
                        series[tag] = [(step, value) for step, value in series[tag] if step < event["step"]]
                started = True
            for tag, value in event.get("values", []):
                series.setdefault(tag, []).append((event["step"], value))
    return series
