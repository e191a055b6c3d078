/**
 * Seeds that once found a bug, with what it was: run with every test. A seed finds the same bug again only as long as
 * scenario and faults stay as they were; that the bug itself would be found again is what `test/mutants` shows.
 */
export const foundSeeds: Readonly<Record<number, string>> = {
  1: 'after reading an activity, messages of turns that were not durable were sent (P2)',
  8: 'a stream was closed before its closing was durable (P2)',
  25: 'a record that had been forgotten came back by a read that was under way (P4)',
  54: 'head and activities of an entity were read around a commit that was written late (P4)',
  60: 'a message passed the floor before its dead letter was durable, and vanished in a takeover (P7)',
  64: 'a timer that threw and was cancelled was tried again every millisecond',
  122: 'when the proof of ownership failed, a retransmission lost its date (P7)',
  150: 'a stream that was closing when its entity left memory was never closed (P10)',
  168: 'a commit that was to end a doubt left after its partition had been given away (P3)',
  307: 'a retransmission of an old session took away the flight of the new one (P7)',
  326: 'a stale worker reported lost history, and reopened its streams (P8)',
  388: 'the late answer to an earlier probe made a dead letter of a message that had been processed (P7)',
  803: 'a partition came back while it was about to leave, with what had run by its claim before (P8)',
  1080: 'a store that went back gave an epoch again that a pin had raised',
  1152: 'clients went by the views of a later term for ever, after a store that went back (P8)',
  1184: 'a query was proven by a later claim than the one by which it ran (P9)',
  1208: 'two services had one term, and the later one numbered its views below those of the other',
  1360: 'memory was handed over that was newer than the store, which had gone back (P8)',
  1389: 'an entity ran on by its pin, unpinned while that partition left and came back (P3)',
  2217: 'a stale worker told a client that the store had failed (P3)',
  2253: 'a home ran an entity whose type requires labels, beside the owner of its group (P3)',
  2354: 'the owner of a group went on with an entity that was pinned (P3)',
  2645: 'the check took a full mailbox for a lost dead letter',
  2930: 'who pinned an entity whose hosts it did not see left its group its epoch (P3)',
  5000949: 'the check gave who comes after one that leaves no time, if the one before took all of its own',
  5002465:
    'an effect’s outcome that was tried again took the room of a message, and there was one more than may be (P12)',
  5003224:
    'an entity that lacked partners in memory could not be written over a head that had gone back, ever again (P7)',
  5003376: 'the check took what an entity had let go of in its own time, since the store went back, for lost',
  3352: 'a stale worker sent from a session that was never durable (P2)',
  5471: 'an entity that is written every now and then took a faster clock of its last owner for lost history',
  396857787:
    'one worker of three had all partitions, and the two others were apart from it for good: nobody acted on dates (P10)',
  7488: 'two services had one term, and numbered different views alike',
  430: 'views of a service whose clock had drifted away counted as late for good, and who heard them gave everything up (P10)',
  5000072:
    'who had seen the lease of a term that its service never used was apart for good, since the store that went back had forgotten it (P10)',
  910260: 'two hints of where a partition is sent everything for it round until it was dropped (P7)',
  5001665: 'a turn of an entity that is written now and then took along a close that was to wait for the write (P4)',
  5001109: 'the check took a signal that had just come, and waited for its entity to be read, for one that stays',
  9004026:
    'a late copy of a call that its client had given up ran after the short-lived one behind it was forgotten (P4)',
  5000249: 'copies that waited for a proof of ownership took the room of queries, and had no bound in number (P12)',
  13000136: 'a slow word that a copy came too late ended a call whose answer was still to come (P7)',
  12008656:
    'the store went back to the epoch of a claim before the last, by which the worker still ran: it spoke of what was lost (P8)',
};
