/** A store with one state, which actions replace; any of them can be undone. */
export function createStore(initial, reduce) {
  let present = { state: initial, action: null, past: null };

  return {
    state() {
      return present.state;
    },
    dispatch(action) {
      present = { state: reduce(present.state, action), action, past: present };
    },
    undo() {
      if (present.past) present = present.past;
    },
  };
}
