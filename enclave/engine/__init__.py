"""The engine: joins owners' tables, adds noise, writes every release; holds no keys and does no cryptography."""
