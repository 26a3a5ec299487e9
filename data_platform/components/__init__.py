"""The vocabulary of the YAML: one component class per file. Wiring only; the engine packages do the work."""

from data_platform.components.dbt_models import DbtModels
from data_platform.components.file_feed import FileFeed
from data_platform.components.sftp_partner import SftpPartner

__all__ = ["DbtModels", "FileFeed", "SftpPartner"]
