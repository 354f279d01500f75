module go_bench

go 1.23
