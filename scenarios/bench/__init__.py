"""Benchmarks: planted bugs that a random walk almost never meets, each with its mended twin.

One file each.  `NAME` is the scenario with the bug and `NAME_fixed` the same app without it; both are driven in
the same way, under the same faults.  Beside them the file declares, as plain data, what `make quality` holds the
explorer to:

``DEPTH``
    choices that differ from first come, first served in the shortest tape that fails.
``RACING``
    what an explanation must name: ``object`` and ``key`` (``""`` where no key is in play), ``events`` (words of
    both), and ``lines`` (a piece of each source line that must be among those that it points at); each of these a
    text, or a tuple of texts of which one will do.
``RATE``
    how often a pure random walk failed when that was last measured: ``(failures, schedules)``.

==================  ===============================================================  =====
scenario            bug                                                              depth
==================  ===============================================================  =====
`counter`           a counter that asks somebody between reading and writing         1
`lost_reply`        an object evicted while its continuation waits for a reply       1
`alarm_twice`       an alarm whose effect and whose note of it are not one step      1
`gate_leak`         a value told over a side channel before it is durable            2
`two_sockets`       two sockets of one user that are let in at once                  1
`reentrancy`        an object called back while it waits (A → B → A)                 1
`registry`          a registry that looks for dependencies in too few rounds         5
`late_cancel`       a cancellation that comes after the order was forgotten          1
`stale_pong`        an old pong that counts for a new ping                           1
`raft`              votes that are counted by message and not by voter               4
`paxos`             a proposer that adopts the value of the lowest ballot            3
`two_phase`         a coordinator that forgets a participant after an abort          1
==================  ===============================================================  =====
"""
