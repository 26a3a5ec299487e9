"""The vocabulary of the YAML: one component class per file. Wiring only; the engine packages do the work.

Fields are declared in `feeds/`, which commands use without Dagster. So a component gives Dagster its model
(`get_model_cls`) and isn't `Resolvable`, which derives the model from the component.
"""

from data_platform.components.airtable_tables import AirtableTables
from data_platform.components.carto_dataset import CartoDataset
from data_platform.components.dbt_models import DbtModels
from data_platform.components.file_feed import FileFeed
from data_platform.components.geocoded_tables import GeocodedTables
from data_platform.components.knack_objects import KnackObjects
from data_platform.components.open_data_files import OpenDataFiles
from data_platform.components.retention import Retention
from data_platform.components.sftp_partner import SftpPartner
from data_platform.components.sql_tables import SqlTables

__all__ = [
    "AirtableTables",
    "CartoDataset",
    "DbtModels",
    "FileFeed",
    "GeocodedTables",
    "KnackObjects",
    "OpenDataFiles",
    "Retention",
    "SftpPartner",
    "SqlTables",
]
