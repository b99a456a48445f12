//! Outside tests of the room: scripts in the reference's test language over a store in memory, and
//! comparison with the installed original.

mod scripts;
