// Shows    a service that is an object: state, and several kinds of messages through one queue. One
//          message at a time, so it needs no lock, however many threads call it.
// Prints   what a bank account says to two people who use it at the same time.
// Next     scope.cpp: work beside one's own, which always comes to an end.
#include <posthaste/posthaste.hpp>

#include <cstdio>
#include <string>
#include <thread>

using posthaste::code;
using posthaste::effect;
using posthaste::failure;
using posthaste::result;
using posthaste::task;

struct deposit {  // without a reply: it may be sent, or called to know that it is done
    int amount;
};
struct withdraw {
    using reply = int;  // what is left
    int amount;
};
struct balance {
    using reply = int;
};

class bank_account {
public:
    void operator()(deposit d) { balance_ += d.amount; }
    int operator()(balance) const { return balance_; }
    result<int> operator()(withdraw w) {  // may fail, without an exception
        if (w.amount > balance_) {
            return failure(code::rejected, effect::complete,
                           "there is only " + std::to_string(balance_) + " left");
        }
        return balance_ -= w.amount;
    }

private:
    int balance_ = 0;
};

using account_client = posthaste::client<deposit, withdraw, balance>;

task<int> spend(account_client account, int times) {
    int got = 0;
    for (int i = 0; i != times; ++i) {
        const result<int> left = co_await account.call<withdraw>(1);
        if (left) ++got;
    }
    co_return got;
}

int main() {
    posthaste::bus bus;
    bus.handle<deposit, withdraw, balance>("account", bank_account());
    const auto account = bus.client<deposit, withdraw, balance>("account");

    bus.run([&]() -> task<> {
        const result<void> put_in = co_await account.call<deposit>(50);
        std::printf("deposit 50: %s\n", put_in ? "done" : put_in.error().message().c_str());

        const result<int> left = co_await account.call<withdraw>(30);
        if (left) std::printf("withdraw 30: %d left\n", *left);

        const result<int> refused = co_await account.call<withdraw>(30);
        if (!refused) std::printf("withdraw 30: %s\n", refused.error().message().c_str());
    });

    std::thread payday([&] {  // any thread may send; to wait for a reply takes a coroutine
        for (int i = 0; i != 500; ++i) account.send<deposit>(1);
    });
    const int got = bus.run([&] { return spend(account, 500); });
    payday.join();
    const result<int> left =
        bus.run([&]() -> task<result<int>> { co_return co_await account.call<balance>(); });
    if (!left) return 1;
    std::printf("20 there, 500 put in, some taken meanwhile: %s\n",
                got + *left == 20 + 500 ? "it adds up" : "it does not add up");
    return 0;
}
