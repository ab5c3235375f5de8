"""Operations: runs of up, update, down and rollback, recorded before they act and resumed after a restart."""
