/*  fields_undef.h - ends a reading of messages.def. No guard: it is included once for each
 *  reading. */
#undef R
#undef M
#undef U8
#undef U16
#undef U32
#undef U64
#undef SESSION
#undef STR
#undef BLOB
#undef LIST
#undef END
