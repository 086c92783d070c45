"""Names that pickles of checkpoints ask for, and what stands for them."""

STORAGES = {
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "BoolStorage": "BOOL",
    "ByteStorage": "U8",
    "CharStorage": "I8",
    "ShortStorage": "I16",
    "IntStorage": "I32",
    "LongStorage": "I64",
}
"""torch's storage classes, and the type of their elements by safetensors' names."""

ARRAYS = {
    "f2": "F16",
    "f4": "F32",
    "f8": "F64",
    "b1": "BOOL",
    "u1": "U8",
    "i1": "I8",
    "i2": "I16",
    "i4": "I32",
    "i8": "I64",
}
"""NumPy's types, and what safetensors calls them."""

SETTINGS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "yacs.config.CfgNode",  # the paper's repository saves its configuration
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "addict.addict.Dict",
    "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path", "Enum")
    ),
)
"""Classes that hold the settings of a training run: kept as dictionaries."""

IGNORED = {
    # What training scripts keep beside weights and settings: paths, best scores, logs.
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
    "builtins.object",
    "typing.Any",
    "uuid.UUID",
    "datetime.datetime",
    "datetime.timedelta",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.base.Node",
    "omegaconf.nodes.ValueNode",
    "omegaconf.nodes.InterpolationResultNode",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "pathlib.PurePosixPath",
    "collections.Counter",
    "collections.defaultdict",
    *(f"builtins.{name}" for name in ("set", "frozenset", "complex", "slice", "bytearray")),
    *(f"builtins.{name}" for name in ("bool", "int", "float", "str", "list", "tuple", "dict")),
    *("builtins.long", "builtins.unicode"),  # int and str in protocol 2, which torch.save writes
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    *(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64", "int64")),
}
"""Names that are no weights and do no harm unread: what they would make is not made."""
