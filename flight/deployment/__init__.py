"""Puts a payload together from components and adapters: the only folder that knows them all."""
