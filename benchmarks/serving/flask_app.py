"""The ensemble behind Flask: ``gunicorn --workers 2 --threads 4 --preload flask_app:app``.

This is the stack of AWS's scikit-learn container.
"""

from __future__ import annotations

import io
import json

import numpy as np
from bare_model import predict
from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/ping")
def ping() -> str:
    """Report that the model is loaded."""
    return ""


@app.post("/invocations")
def invocations() -> Response:
    """Predict for rows of CSV, or of JSON as {"instances": [[...]]}."""
    if request.content_type == "text/csv":
        rows = np.loadtxt(io.StringIO(request.get_data(as_text=True)), delimiter=",", ndmin=2)
    else:
        rows = np.array(request.get_json()["instances"], dtype=np.float64)
    return Response(json.dumps({"predictions": predict(rows).tolist()}), mimetype="application/json")
