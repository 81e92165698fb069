import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ClientCode } from "../src/codes";
import { Connection, type Listener } from "../src/connection";
import { connect, FakeSocket, fakeWorld, leaveWorld, NOW_US, running, surroundings } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

function listen() {
  return {
    state: vi.fn<Listener["state"]>(),
    subscribed: vi.fn<Listener["subscribed"]>(),
    problem: vi.fn<Listener["problem"]>(),
    status: vi.fn<Listener["status"]>(),
  };
}

const subscribe = (interval_ms: number, ...job_ids: string[]) => ({ type: "subscribe", job_ids, interval_ms });

describe("watching", () => {
  test("opens one socket, subscribes all in one message, and hears states", () => {
    const connection = connect();
    const [first, second] = [listen(), listen()];

    connection.watch("job-1", first);
    connection.watch("job-2", second);
    FakeSocket.last.accept({ "job-1": running() });

    expect(FakeSocket.all).toHaveLength(1);
    expect(FakeSocket.last.sent).toEqual([subscribe(50, "job-1", "job-2")]);
    expect(first.state).toHaveBeenCalledExactlyOnceWith(running());
    expect(first.subscribed).toHaveBeenCalledExactlyOnceWith(false);
    expect(second.subscribed).toHaveBeenCalledExactlyOnceWith(true);
    expect(connection.status).toMatchObject({ phase: "open", failures: 0 });
  });

  test("a job that is watched already asks again, by the shorter interval", () => {
    const connection = connect();
    connection.watch("job-1", listen(), { interval_ms: 50 });
    FakeSocket.last.accept({ "job-1": running() });
    const late = listen();

    connection.watch("job-1", late, { interval_ms: 20 });
    vi.advanceTimersByTime(0);

    expect(FakeSocket.last.sent.at(-1)).toEqual(subscribe(20, "job-1"));
    expect(late.state).toHaveBeenCalledOnce();
  });

  test("many jobs are asked for in batches", () => {
    const connection = connect();
    for (let index = 0; index < 130; index++) connection.watch(`job-${index}`, listen());

    FakeSocket.last.accept();

    expect(FakeSocket.last.sent.map(({ job_ids }) => (job_ids as string[]).length)).toEqual([64, 64, 2]);
  });

  test("the last one to leave a job unsubscribes it", () => {
    const connection = connect();
    const leave = [connection.watch("job-1", listen()), connection.watch("job-1", listen())];
    connection.watch("job-2", listen());
    FakeSocket.last.accept();

    for (const one of [...leave, ...leave]) one();

    expect(FakeSocket.last.commands("unsubscribe")).toEqual([{ type: "unsubscribe", job_ids: ["job-1"] }]);
  });

  test("with nothing left the socket is closed after five seconds, and opened anew when wanted", () => {
    const connection = connect();
    const leave = connection.watch("job-1", listen());
    FakeSocket.last.accept();

    leave();
    vi.advanceTimersByTime(4999);
    expect(FakeSocket.last.closedBy).toBeNull();
    vi.advanceTimersByTime(1);
    expect(FakeSocket.last.closedBy).toBe(ClientCode.NOTHING_WATCHED);

    connection.watch("job-1", listen());
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("a page that watches again in time keeps its socket", () => {
    const connection = connect();
    const leave = connection.watch("job-1", listen());
    FakeSocket.last.accept();

    leave();
    vi.advanceTimersByTime(3000);
    connection.watch("job-2", listen());
    vi.advanceTimersByTime(10_000);

    expect(FakeSocket.all).toHaveLength(1);
    expect(FakeSocket.last.closedBy).toBeNull();
  });

  test("what is no message of the protocol does no harm", () => {
    const listener = listen();
    connect().watch("job-1", listener);
    FakeSocket.last.accept();

    for (const data of ["{", "null", "[]", '{"type":"news"}', new ArrayBuffer(2)]) FakeSocket.last.hear(data);
    FakeSocket.last.say(running({ job_id: "job-9" }));

    expect(listener.state).not.toHaveBeenCalled();
  });
});

describe("the store's clock", () => {
  test("is told by the greeting and by every ping", () => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.accept();

    vi.advanceTimersByTime(2000);
    expect(connection.clock.nowUs()).toBeCloseTo(NOW_US + 2e6, -2);

    FakeSocket.last.say({ type: "ping", now_us: NOW_US + 9e6 });
    expect(connection.clock.nowUs()).toBeCloseTo(NOW_US + 9e6, -2);
  });
});

describe("reconnecting", () => {
  test("comes back with growing waits, and asks for everything again", () => {
    const connection = connect();
    const listener = listen();
    connection.watch("job-1", listener, { interval_ms: 0 });

    for (const wait of [500, 1000, 2000]) {
      const attempts = FakeSocket.all.length;
      FakeSocket.last.end(1006);
      expect(connection.status).toMatchObject({ phase: "waiting", code: 1006 });
      vi.advanceTimersByTime(wait - 1);
      expect(FakeSocket.all).toHaveLength(attempts);
      vi.advanceTimersByTime(1);
      expect(FakeSocket.all).toHaveLength(attempts + 1);
    }
    FakeSocket.last.accept({ "job-1": running() });

    expect(FakeSocket.last.sent).toEqual([subscribe(0, "job-1")]);
    expect(listener.state).toHaveBeenCalledOnce();
  });

  test("a connection that lasted starts the waits anew, one that did not does not", () => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.accept();
    vi.advanceTimersByTime(9000);
    FakeSocket.last.end(1013);
    expect(connection.status.failures).toBe(1);
    vi.advanceTimersByTime(500);
    FakeSocket.last.accept();
    FakeSocket.last.end(1013);
    expect(connection.status.failures).toBe(2);
    vi.advanceTimersByTime(1000);

    FakeSocket.last.accept();
    vi.advanceTimersByTime(10_000);
    FakeSocket.last.end(1012);

    expect(connection.status.failures).toBe(1);
  });

  test.each([4400, 4401, 4403])("stops after close code %d, until somebody watches again", (code) => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.accept();

    FakeSocket.last.end(code);
    vi.advanceTimersByTime(600_000);
    connection.wake();
    expect(FakeSocket.all).toHaveLength(1);
    expect(connection.status).toMatchObject({ phase: "closed", code });

    connection.watch("job-2", listen());
    FakeSocket.last.accept();
    expect(FakeSocket.last.sent).toEqual([subscribe(50, "job-2", "job-1")]);
  });

  test("rests where the server lets it go since nothing runs, until somebody watches", () => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.accept();

    FakeSocket.last.end(4410);
    vi.advanceTimersByTime(600_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect(connection.status).toMatchObject({ phase: "closed", code: ClientCode.NOTHING_WATCHED, failures: 0 });

    connection.watch("job-2", listen());
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("stops where the server says that nobody is signed in, and not where it is away", async () => {
    const signedOut = vi.fn(async () => false);
    const connection = new Connection("ws://server/ws/jobs", { ...surroundings(), signedOut });
    const listener = listen();
    connection.watch("job-1", listener);
    FakeSocket.last.accept();
    FakeSocket.last.end(1012);
    expect(signedOut).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.end(1006);
    await vi.advanceTimersByTimeAsync(1000);
    FakeSocket.last.end(1006);
    expect(connection.status.phase).toBe("waiting");

    signedOut.mockResolvedValue(true);
    await vi.advanceTimersByTimeAsync(2000);
    FakeSocket.last.end(1006);
    await vi.advanceTimersByTimeAsync(600_000);

    expect(FakeSocket.all).toHaveLength(4);
    expect(connection.status).toMatchObject({ phase: "closed", code: 4401 });
    expect(listener.status).toHaveBeenCalled();
  });

  test("a socket that was given up is heard no more", () => {
    const connection = connect();
    const listener = listen();
    connection.watch("job-1", listener);
    const old = FakeSocket.last;
    old.accept();
    vi.advanceTimersByTime(75_000);
    expect(old.closedBy).toBe(ClientCode.SILENT);

    old.say(running());
    old.end(1006);

    expect(listener.state).not.toHaveBeenCalled();
    expect(connection.status).toMatchObject({ phase: "waiting", code: ClientCode.SILENT });
  });

  test("any frame keeps a connection alive", () => {
    connect().watch("job-1", listen());
    FakeSocket.last.accept();

    for (let minute = 0; minute < 10; minute++) {
      vi.advanceTimersByTime(60_000);
      FakeSocket.last.say({ type: "ping", now_us: NOW_US });
    }

    expect(FakeSocket.all).toHaveLength(1);
    expect(FakeSocket.last.closedBy).toBeNull();
  });

  test("a handshake without an answer is given up after twenty seconds", () => {
    const connection = connect();
    connection.watch("job-1", listen());

    vi.advanceTimersByTime(20_000);

    expect(FakeSocket.all[0]?.closedBy).toBe(ClientCode.SILENT);
    expect(connection.status.phase).toBe("waiting");
  });

  test("a constructor that throws is a failure like another", () => {
    const connection = new Connection("ws://server/", {
      ...surroundings(),
      open: () => {
        throw new Error("blocked by the content security policy");
      },
    });

    connection.watch("job-1", listen());

    expect(connection.status).toMatchObject({ phase: "waiting", code: ClientCode.NO_SOCKET });
  });
});

describe("a page that wakes up", () => {
  test("does not wait for the timer", () => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.end(1006);

    connection.wake();

    expect(FakeSocket.all).toHaveLength(2);
    vi.advanceTimersByTime(10_000);
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("asks again at once, and gives up a socket that does not answer", () => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.accept({ "job-1": running() });
    connection.wake();
    vi.advanceTimersByTime(2000);
    expect(FakeSocket.last.commands("subscribe")).toHaveLength(2);
    expect(FakeSocket.all).toHaveLength(1);

    FakeSocket.last.send = () => {};
    connection.wake();
    vi.advanceTimersByTime(1500);

    expect(FakeSocket.all[0]?.closedBy).toBe(ClientCode.SILENT);
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("asks for less while it is hidden, and reads again when it is shown", () => {
    const connection = connect();
    connection.watch("job-1", listen());
    FakeSocket.last.accept();

    for (const pace of [5000, 5000, 0]) {
      connection.pace(pace);
      vi.advanceTimersByTime(0);
    }

    expect(FakeSocket.last.sent).toEqual([subscribe(50, "job-1"), subscribe(5000, "job-1"), subscribe(50, "job-1")]);
  });
});

describe("errors and outages", () => {
  test("a refusal is told to those that are not yet subscribed", () => {
    const connection = connect();
    const [old, late] = [listen(), listen()];
    connection.watch("job-1", old);
    FakeSocket.last.accept();
    connection.watch("job-2", late);

    FakeSocket.last.say({ type: "error", code: "too_many_subscriptions", message: "at most 1" });

    expect(old.problem).not.toHaveBeenCalled();
    expect(late.problem).toHaveBeenCalledExactlyOnceWith("too_many_subscriptions", "at most 1");
  });

  test("a subscription that failed with the store is asked for again", () => {
    const connection = connect(0);
    const listener = listen();
    connection.watch("job-1", listener);
    const socket = FakeSocket.last;
    socket.send = (data) => void socket.sent.push(JSON.parse(data));
    socket.accept();

    socket.say({ type: "error", code: "store_unavailable", message: "no answer" });
    vi.advanceTimersByTime(1010);

    expect(socket.commands("subscribe")).toHaveLength(2);
    expect(listener.problem).not.toHaveBeenCalled();
  });

  test("the store's outage is part of the status until it is over or the socket is another", () => {
    const connection = connect();
    const listener = listen();
    connection.watch("job-1", listener);
    FakeSocket.last.accept();

    FakeSocket.last.say({ type: "store", up: false });
    expect(connection.status.storeUp).toBe(false);
    FakeSocket.last.say({ type: "store", up: true });
    expect(connection.status.storeUp).toBe(true);

    FakeSocket.last.say({ type: "store", up: false });
    FakeSocket.last.end(1012);
    vi.advanceTimersByTime(500);
    FakeSocket.last.accept();
    expect(connection.status.storeUp).toBe(true);
  });
});

describe("parts", () => {
  test("are told to those who asked for them", () => {
    const connection = connect();
    const children = vi.fn<(jobIds: readonly string[]) => void>();
    connection.watch("job-1", { ...listen(), children }, { children: true });
    FakeSocket.last.accept();

    FakeSocket.last.say({ type: "children", parent_id: "job-1", job_ids: ["a", "b"] });
    FakeSocket.last.say({ type: "children", parent_id: "job-9", job_ids: ["c"] });

    expect(FakeSocket.last.sent).toEqual([{ ...subscribe(50, "job-1"), children: true }]);
    expect(children).toHaveBeenCalledExactlyOnceWith(["a", "b"]);
  });
});

describe("where a proxy cuts every upgrade", () => {
  test("jobs are asked for by HTTP, until a socket opens after all", async () => {
    const poll = vi.fn(async () => ({ nowUs: NOW_US, states: [running()] }));
    const connection = new Connection("ws://server/", { ...surroundings(), poll });
    const listener = listen();
    connection.watch("job-1", listener);

    for (let attempt = 0; attempt < 3; attempt++) {
      expect(poll).not.toHaveBeenCalled();
      FakeSocket.last.end(1006);
      if (attempt < 2) vi.advanceTimersByTime(20_000);
    }
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.status.polling).toBe(true);
    expect(listener.state).toHaveBeenCalledExactlyOnceWith(running());
    await vi.advanceTimersByTimeAsync(4000);
    expect(poll.mock.calls.length).toBeGreaterThanOrEqual(3);

    FakeSocket.last.accept();
    const asked = poll.mock.calls.length;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(connection.status).toMatchObject({ phase: "open", polling: false });
    expect(poll).toHaveBeenCalledTimes(asked);
  });
});
