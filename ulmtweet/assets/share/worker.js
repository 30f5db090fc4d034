// The part of the page that writes, beside the one that shows: messages in, messages out.

function startWorker(scope) {
  let writer = null, queue = [], running = false;
  const pause = new MessageChannel(); // messages that wait are read between two steps
  pause.port1.onmessage = () => {
    for (let i = 0; i < LANES && queue.length; i++) if (!writer.lanes[i]) writer.begin(i, queue.shift());
    running = writer.busy;
    if (!running) return;
    for (const i of writer.step()) report(i);
    pause.port2.postMessage(null);
  };

  function report(i) {
    const lane = writer.lanes[i], {index} = lane;
    if (!writer.hasEnded(lane)) return scope.postMessage({kind: "writes", index, text: writer.textOf(lane)});
    writer.lanes[i] = null;
    scope.postMessage({kind: "wrote", index, tweet: writer.kept(lane)});
  }

  const tasks = {
    open: ({voice, weights}) => {
      writer = new Writer(voice, unpackWeights(weights, voice.shape));
      scope.postMessage({kind: "opened"});
    },
    write: ({requests}) => {
      queue.push(...requests);
      if (!running) pause.port2.postMessage(null);
      running = true;
    },
    stop: () => {
      queue = [];
      writer.lanes.fill(null);
      scope.postMessage({kind: "stopped"});
    },
    explain: ({text}) => scope.postMessage({kind: "explained", text, pieces: writer.explain(text)}),
  };
  scope.onmessage = ({data}) => tasks[data.kind](data);
}
