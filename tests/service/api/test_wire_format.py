import pytest

from service.errors import InvalidRequest

pb = pytest.importorskip("service.api.proto.open_inference_pb2", reason="needs the grpc extra")
wire_format = pytest.importorskip("service.api.wire_format")

Tensor = pb.ModelInferRequest.InferInputTensor


def left(data: bytes, most: int) -> int:
    return wire_format.check_parts(data, pb.ModelInferRequest.DESCRIPTOR, most)


def test_fields_are_counted_wherever_they_are():
    contents = pb.InferTensorContents(bytes_contents=[b"one", b"two"])
    parameters = {"normalize": pb.InferParameter(bool_param=True)}
    tensor = Tensor(name="image", datatype="BYTES", shape=[2], contents=contents)
    request = pb.ModelInferRequest(model_name="m", inputs=[tensor], parameters=parameters)
    # model_name, inputs, 4 fields in it, a number in its shape, 2 images, and 4 of a parameter.
    assert left(request.SerializeToString(), 100) == 100 - 13
    assert left(request.SerializeToString(), 13) == 0
    with pytest.raises(InvalidRequest):
        left(request.SerializeToString(), 12)


def test_pixels_and_files_count_once():
    contents = pb.InferTensorContents(uint_contents=[255] * 10_000)
    request = pb.ModelInferRequest(inputs=[Tensor(contents=contents)])
    assert left(request.SerializeToString(), 10) == 7
    request = pb.ModelInferRequest(raw_input_contents=[bytes(10_000)])
    assert left(request.SerializeToString(), 10) == 9


@pytest.mark.parametrize("field", ["int64_contents", "fp64_contents", "bool_contents"])
def test_other_numbers_count_each(field):
    contents = pb.InferTensorContents(**{field: [1] * 1000})
    request = pb.ModelInferRequest(inputs=[Tensor(contents=contents)])
    with pytest.raises(InvalidRequest, match=field):
        left(request.SerializeToString(), 900)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 20, b"\x0a", b"\x0a\x05ab", b"\x0b", b"\x09abc", b"\x2a\x02\x0a\x05"],
    ids=["no number", "no length", "cut off", "a group", "half a number", "cut off inside"],
)
def test_what_is_no_message(data):
    with pytest.raises(InvalidRequest):
        left(data, 100)
