module renderer

go 1.22
