"""Feature tables of the kinds that extractors make: a unit vector, vector and scalar of an attachment, named scores,
a sparse vector."""

import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.schemas.tables import TABLES, feature_table

FLOATS = pa.list_(pa.float32())

VECTORS = feature_table(
    "vectors",
    [Column(name="embedding", type=FLOATS, required=False, value=True, dim=5, unit=True, doc="a unit vector")],
    row="a vector of a review",
    attached=False,
)
PICTURES = feature_table(
    "pictures",
    [
        Column(name="embedding", type=FLOATS, required=False, value=True, dim=3, doc="a vector of any length"),
        Column(name="share", type=pa.float64(), required=False, value=True, low=0, high=1, doc="a share"),
        Column(name="width", type=pa.int32(), required=False, value=True, low=1, high=10_000, doc="pixels"),
    ],
    row="a picture of a review",
    attached=True,
)
SENTIMENT = feature_table(
    "sentiment",
    [
        Column(name="positive", type=pa.float32(), required=False, value=True, low=0, high=1.0001, doc="a score"),
        Column(name="negative", type=pa.float32(), required=False, value=True, low=0, high=1.0001, doc="a score"),
        Column(name="label", type=pa.string(), required=False, value=True, doc="top", labels=("positive", "negative")),
    ],
    row="the sentiment of a review",
    attached=False,
)
WORDS = feature_table(
    "words",
    [
        Column(name="indices", type=pa.list_(pa.int32()), required=False, value=True, size=50, doc="which words"),
        Column(name="values", type=FLOATS, required=False, value=True, places="indices", unit=True, doc="their weight"),
    ],
    row="the words of a review",
    attached=False,
)
ALL = (*TABLES.values(), VECTORS, PICTURES, SENTIMENT, WORDS)
