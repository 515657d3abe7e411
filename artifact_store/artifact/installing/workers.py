"""Runs jobs in forked processes, which start within milliseconds with all modules loaded."""

import os
import pickle
import struct
import sys
import traceback

from refusal import RefusedError


def spread(jobs, work):
    """Call `work(job)` for every job, in one process per CPU; return the results in the order of jobs.

    Jobs start in their order, so put the largest first. The first error stops the rest, and is raised. A
    worker whose parent was killed starts no other job.
    """
    parent = os.getpid()
    queue, end = os.pipe()
    sys.stdout.flush()
    workers = {}
    for _ in range(min(_cpus(), len(jobs))):
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(end)
            _serve(queue, jobs, work, parent, into)
        os.close(into)
        workers[pid] = out
    os.close(queue)
    results = {}
    try:
        try:
            # A job's number is written in one piece, and so it is read in one.
            for number in range(len(jobs)):
                os.write(end, struct.pack("=I", number))
        except BrokenPipeError:  # all workers have ended; their errors are read below
            pass
        finally:
            os.close(end)
        for out in workers.values():
            with open(out, "rb") as answer:
                results.update(_outcome(answer.read()))
    finally:
        for pid in workers:
            os.waitpid(pid, 0)
    return [results[number] for number in range(len(jobs))]


def _serve(queue, jobs, work, parent, into):
    """The whole life of a worker."""
    done = {}
    try:
        while True:
            number = os.read(queue, 4)
            if not number or os.getppid() != parent:
                break
            (index,) = struct.unpack("=I", number)
            done[index] = work(jobs[index])
    except KeyboardInterrupt:
        os._exit(130)
    except (RefusedError, OSError) as error:
        done = error
    except BaseException:
        done = RefusedError(f"a worker failed\n{traceback.format_exc()}")
    if not isinstance(done, dict):
        while os.read(queue, 65536):  # empty the queue, so that the others end too
            pass
    with open(into, "wb") as answer:
        pickle.dump(done, answer)
    os._exit(0)


def _outcome(answer):
    if not answer:
        raise RefusedError("a worker was killed: is there enough memory?")
    done = pickle.loads(answer)  # noqa: S301 (from our own fork)
    if isinstance(done, dict):
        return done
    raise done


def _cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
