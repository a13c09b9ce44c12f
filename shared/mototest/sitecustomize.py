# What one call takes in moto grows with everything that a test has written: a query
# sorts the whole table, and a transaction copies the whole table once for each of its
# items. Python runs this file before moto_server; it hands moto's own code, unchanged,
# a table of just the items that the call may touch.
import collections
import copy
import inspect

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

query = Table.query
signature = inspect.signature(query)
transact_write_items = DynamoDBBackend.transact_write_items


def with_items(table, items):
    part = copy.copy(table)
    part.items = items
    return part


def query_partition(self, *args, **kwargs):
    called = signature.bind(self, *args, **kwargs).arguments
    if called.get("index_name") is None and self.has_range_key:
        hash_key = called["hash_key"]
        self = with_items(self, {hash_key: self.items.get(hash_key, {})})
    return query(self, *args, **kwargs)


def transact_items_alone(self, transact_items):
    """Moto's transaction on copies of its items, which are kept if it succeeds."""
    touched = collections.defaultdict(set)  # keys by table
    parts = {}
    for entry in transact_items:
        for action in entry.values():
            table = self.tables.get(action.get("TableName"))
            if table is None or not table.has_range_key:
                return transact_write_items(self, transact_items)
            key = action.get("Key") or action.get("Item") or {}
            if table.hash_key_attr not in key or table.range_key_attr not in key:
                continue  # moto says what is wrong
            hash_key, range_key = self.get_keys_value(table, key)
            part = parts.setdefault(
                table.name, with_items(table, collections.defaultdict(dict))
            )
            touched[table.name].add((hash_key, range_key))
            item = table.items.get(hash_key, {}).get(range_key)
            if item is not None:
                part.items[hash_key][range_key] = copy.deepcopy(item)
    alone = object.__new__(DynamoDBBackend)
    alone.__dict__.update(self.__dict__, tables={**self.tables, **parts})
    transact_write_items(alone, transact_items)
    for name, keys in touched.items():
        for hash_key, range_key in keys:
            item = parts[name].items[hash_key].get(range_key)
            if item is None:
                self.tables[name].items[hash_key].pop(range_key, None)
            else:
                self.tables[name].items[hash_key][range_key] = item


Table.query = query_partition
DynamoDBBackend.transact_write_items = transact_items_alone
