module switchyard.dev/tools/pause

go 1.26
