/**
 * The election: transcripts of one candidate.
 *
 * Longer than 400 lines because a transcript is read whole.
 */
import { holds } from '../support/candidate.ts';
import { suite } from '../support/suite.ts';

const test = suite('election');

test('EL2: the first worker of a cluster finds nobody, tries, and serves; it renews every renewMs', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
       230   try
    at 280 leased me 1
       480   try
    at 540 leased me 1
    at 600 end`);
});

test('EL2: a service that is found absent is replaced when its lease was not renewed for lapseMs', () => {
  holds(`
    at 0 view 4
    at 900 view 4
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 leased me 5
      1640   serve 5
    at 1650 end`);
});

test('EL4: a service that renews its lease is not replaced, and who does not hear it is apart until it does', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 leased other 4 60
      1640   apart from other
      1640   echo
    at 1641 echoed
      2090   try instead 4 60
    at 2250 leased other 4 70
      2250   echo
    at 2251 echoed
      2700   try instead 4 70
    at 2860 leased other 4 80
      2860   echo
    at 3000 view 4
      3000   together
    at 3500 view 4
    at 3600 end`);
});

test('EL4, EL2: who is apart takes the lease when its holder is gone', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 leased other 4 60
      1640   apart from other
      1640   echo
    at 1641 echoed
      2090   try instead 4 60
    at 2250 leased other 4 60
      2250   echo
    at 2251 echoed
      2700   try instead 4 60
    at 2860 leased me 5
      2860   together
      2860   serve 5
    at 2900 end`);
});

test('EL3: who watches the lease and is cut off meanwhile tries no more until it hears itself', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 leased other 4 60
      1640   apart from other
      1640   echo
      2090   echo
      2590   echo
    at 2600 echoed
      2625   try instead 4 60
    at 2700 leased other 4 60
      2700   echo
    at 2800 end`);
});

test('EL4: a new holder that was faster is not replaced while it renews', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 leased other 5 90
      1640   echo
    at 1641 echoed
      2090   try instead 5 90
    at 2250 leased other 5 95
      2250   echo
    at 2300 view 5
    at 2400 end`);
});

test('EL6: who sees the lease of a service that has published nothing yet is not apart from it, until silentMs', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased other 6 50
       480   try instead 6 50
    at 500 leased other 6 60
       500   echo
    at 501 echoed
       950   try instead 6 60
    at 1000 leased other 6 70
      1000   echo
    at 1100 view 6
    at 2100 view 6
    at 2200 end`);
  holds(`
    at 0 absent
        25   try
    at 30 leased other 6 50
       480   try instead 6 50
    at 500 leased other 6 60
       500   echo
    at 501 echoed
       950   try instead 6 60
    at 3029 leased other 6 70
      3029   echo
    at 3029 echoed
      3479   try instead 6 70
    at 3480 leased other 6 80
      3480   apart from other
      3480   echo
    at 3500 end`);
});

test('EL2: a service that is silent is looked for once the connection has proved to be sound', () => {
  holds(`
    at 500 view 4
      3500   echo
    at 3501 echoed
      3526   try
    at 3530 leased other 4 50
      3980   try instead 4 50
    at 4140 leased me 5
      4140   serve 5
    at 4150 end`);
});

test('EL3: an echo that comes late says nothing of the connection', () => {
  holds(`
    at 500 view 4
      3500   echo
      4000   echo
    at 4100 echoed 1
      4500   echo
    at 4600 end`);
});

test('EL5: a service of an earlier term, one that is retold, late or doubled, are no signs that the present one lives', () => {
  holds(`
    at 500 view 5
    at 2800 view 4
    at 2900 retold 5
    at 3000 view 5 1600
    at 3100 view 5 2600
      3500   echo
    at 3600 end`);
});

test('EL5: a service that answers the question of now lives, however late its views seem since its machine stood still', () => {
  holds(`
    at 500 view 4
    at 1500 view 4 2000
    at 2500 view 4 2000
      3500   echo
    at 3501 present 4 0 2000
    at 4500 view 4 2000
    at 5500 view 4 2000
    at 6500 view 4 2000
    at 7500 view 4 2000
    at 10400 end`);
});

test('EL5: who was taken for cut off hears by an answer that it is not', () => {
  holds(`
    at 0 view 4
    at 500 view 4 1200
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 leased other 4 60
      1640   apart from other
      1640   echo
    at 1641 present 4 0 1200
      1641   together
    at 2000 view 4 1200
    at 4900 end`);
});

test('EL5: an answer to an earlier question, a late one, and one of an earlier term are no signs of life', () => {
  holds(`
    at 500 view 4
      3500   echo
    at 3600 present 3
      4000   echo
    at 4001 present 4 1
      4500   echo
    at 4600 echoed
      4625   try
    at 5600 present 4
      7625   try
    at 7700 end`);
});

test('EL5: a service of a later term counts, though its clock is behind that of the one before, and its lease was seen first', () => {
  holds(`
    at 500 view 4
    at 600 absent
       625   try
    at 640 leased you 5
    at 700 view 5 60000
    at 1700 view 5 60000
    at 2700 view 5 60000
    at 3700 view 5 60000
    at 4600 end`);
});

test('EL3: who does not even hear itself does not try, however long', () => {
  holds(`
    at 500 view 4
      3500   echo
      4000   echo
      4500   echo
    at 4600 view 4
    at 7000 end`);
});

test('EL3: a service that does not hear itself does not renew its lease, and does again when it does', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
       230   try
    at 300 failed
       800   try
    at 1000 leased me 1
      1200   try
    at 1300 leased me 1
      1500   try
    at 1600 leased me 1
      1800   try
    at 1900 leased me 1
      2100   try
    at 2200 leased me 1
      2400   try
    at 2500 leased me 1
      2700   try
    at 2800 leased me 1
      3000   try
    at 3050 leased me 1
      3250   look
      3250   echo
      3750   look
      3750   echo
    at 4000 echoed
      4000   try
    at 4010 leased me 1
      4210   try
    at 4300 end`);
});

test('EL2: a view that comes while it pauses keeps it from trying', () => {
  holds(`
    at 500 view 4
      3500   echo
    at 3501 echoed
    at 3510 view 4
    at 6000 end`);
});

test('EL1: who hears of a later term stops, and a late answer of the store does not revive it', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
       230   try
    at 300 view 2
       300   stop
    at 310 leased me 1
    at 400 view 1
    at 1000 end`);
});

test('EL1: who is told of a later term by somebody else stops', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
    at 100 retold 2
       100   stop
    at 200 end`);
});

test('EL1: views of its own term and of earlier ones do not stop it', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 5
        30   serve 5
    at 100 view 5
    at 200 view 4
       230   try
    at 270 end`);
});

test('EL1: who is told that another has the lease stops, and is apart if it does not hear that one', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
       230   try
    at 300 leased other 2 50
       300   stop
    at 310 view 2
    at 500 absent
       525   try
    at 530 leased other 2 60
       980   try instead 2 60
    at 990 leased other 2 70
       990   apart from other
       990   echo
    at 1000 view 2
      1000   together
    at 1100 end`);
});

test('EL1: who had lost the lease and got it again serves under the new term', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
       230   try
    at 300 leased me 3
       300   serve 3
    at 400 end`);
});

test('EL1: a later term that was heard while the store answered wins', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try
    at 1026 view 6
    at 1030 leased me 5
    at 1100 end`);
});

test('EL1: a store that cannot be asked ends no service, and is asked again', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
       230   try
    at 300 failed
    at 790 leased me 1
       800   try
    at 900 end`);
});

test('EL4: what was seen of a lease before the store failed counts no more', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try
    at 1030 leased other 4 50
      1480   try instead 4 50
    at 1640 failed
      2140   try
    at 2150 leased other 4 50
      2600   try instead 4 50
    at 2800 end`);
});

test('EL2: a store that cannot be asked is asked again, unless the service is heard', () => {
  holds(`
    at 0 absent
        25   try
    at 30 failed
       530   try
    at 540 failed
    at 600 view 1
    at 3000 end`);
});

test('EL2: a store that does not answer is asked again after silentMs', () => {
  holds(`
    at 0 absent
        25   try
      3025   try
    at 4000 end`);
});

test('a service that yields renews nothing for yieldMs, and goes on if nobody has taken the lease', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
    at 100 yield
    at 1000 view 1
    at 2000 view 1
    at 3000 view 1
    at 4000 view 1
      4100   try
    at 4110 leased me 1
    at 4200 end`);
});

test('EL1, P8: of a store that was put back the lease is lower than what views said; it serves above all that was known', () => {
  holds(`
    at 0 view 57
    at 1000 absent
      1025   try
    at 1030 leased other 55 50
      1480   try instead 55 50
    at 1640 leased me 56
      1640   serve 58
      1840   try
    at 1890 leased me 56
    at 1900 view 57
    at 2000 end`);
});

test('EL7: who saw only the lease of a term that the store has forgotten goes by the one that it has given since', () => {
  holds(`
    at 0 view 1
    at 1000 absent
      1025   try
    at 1030 leased other 2 50
      1480   try instead 2 50
    at 1490 leased you 1 60
      1490   echo
    at 1491 echoed
      1940   try instead 1 60
    at 1950 leased you 1 70
      1950   echo
    at 1951 present 1
    at 2500 view 1
    at 5400 end`);
});

test('EL7: a service that serves above its lease, since the store went back, is heard, and none above all that is known', () => {
  holds(`
    at 0 view 58
    at 1000 absent
      1025   try
    at 1030 leased you 56 50
      1480   try instead 56 50
    at 1490 leased you 56 60
      1490   echo
    at 1491 present 59
    at 1492 present 55
    at 1493 echoed
      1940   try instead 56 60
    at 1950 leased you 56 70
      1950   echo
    at 1951 present 58
    at 4900 end`);
});

test('EL7, EL1: who had the lease of a term that the store has forgotten follows who has it since', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 2
        30   serve 2
       230   try
    at 240 leased you 1 60
       240   stop
    at 300 view 1
    at 1000 absent
      1025   try
    at 1030 leased you 1 50
      1480   try instead 1 50
    at 1490 leased me 2
      1490   serve 3
    at 1600 end`);
});

test('EL1: who leaves stops, and never tries again', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
    at 100 resign
       100   stop
    at 200 absent
    at 300 leased me 1
    at 400 view 2
    at 60000 end`);
});

test('SC1, EL2: a worker that was paused hears what came meanwhile before it thinks of a silent service', () => {
  holds(`
    at 500 view 4
    at 1000 view 4
    at 60000 sleep
     60000   echo
    at 60001 view 4
    at 62000 end`);
});

test.run();
