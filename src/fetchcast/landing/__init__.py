"""KEEP: a journal of every answer; what was reported as landed survives a kill.

options    what is kept, how long, and how much room it may take
lock       one writer per directory
schema     the tables, their version, and the two ways to open them
segment    a batch of answers as bytes, and back
index      which keys are there, in a few bytes each
journal    one transaction per batch; the only code that writes
writer     the journal behind an asyncio `Sink`, with back-pressure
reader     everything that can be asked, at any time
runs       what is told about a run while it goes and after it
retention  drops bodies by age, erases answers by key
sealing    moves old answers into Parquet files
"""
