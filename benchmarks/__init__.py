"""zbridge against its peers: `python -m benchmarks`, or `make bench`.

What is compared is the time from asking for an object until all of it can be used, on one machine, over
tcp on the loopback interface. Every contender is a pair of fresh processes, a server and a client. All run
in one go, interleaved: each round fetches each payload once with each contender, in a random order that the
seed fixes, so a machine that slows down slows all of them. What counts is the median of the rounds.

======================= ==============================================================================
`contenders`            the table of what is compared; a new one is one small file and one row there
`payloads`              what is fetched, and how it is read page by page
`child`                 what runs in the processes
`processes`             starting them, asking them, and ending them in every case
`measure`               the rounds: speed, latency, memory, several clients at once
`report`                statistics, the ratios to reach, the tables
======================= ==============================================================================
"""
